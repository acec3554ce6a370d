/**
 * The steps that runbooks are made of. Facts about what Cyrus's tools do are from cyrus-imapd 3.6.1 (imap/reconstruct.c,
 * imap/mailbox.c, imap/ctl_mboxlist.c, imap/ctl_cyrusdb.c) and, where it says so, observed on that version.
 */
import type { ManifestRoot } from "../manifest/model.ts";
import { moment } from "./runbook-input.ts";
import { type RunbookSite, regexp, shell } from "./runbook-site.ts";
import type { VersionTraits } from "./runbook-version.ts";

/** Text for people, or a line to type. */
export type StepLine = string | { readonly run: string };

export interface Step {
  readonly title: string;
  readonly lines: readonly StepLine[];
}

/** What entries of cyrus.conf that do harm right after a restore call. */
const HARMFUL = "expire|ipurge|ctl_deliver|ctl_mboxlist|sync_client|virusscan|relocate_by_id";

export function stopStep(site: RunbookSite): Step {
  const places = site.directories("config", "partition", "metapartition", "archivepartition", "sieve");
  const open = places.map((path) => `-lname ${shell(`${path}/*`)}`).join(" -o ");
  return {
    title: "Stop Cyrus, and everything of cron's or systemd's that calls its tools.",
    lines: [
      "Debian: `systemctl stop cyrus-imapd`. Then see that nobody has its files open:",
      { run: `find /proc/[0-9]*/fd \\( ${open} \\) 2>/dev/null` },
      "Must print nothing. What it prints is /proc/PROCESS/fd/NUMBER: end that process first. Never stop a process of",
      "Cyrus half way (SIGSTOP): it may hold locks.",
    ],
  };
}

export function versionStep(site: RunbookSite, version: VersionTraits): Step {
  const lines: StepLine[] = [
    `These data are of Cyrus ${version.label}.`,
    "The Cyrus installed here must be the same or newer, with the imapd.conf of the backup: hashimapspool, fulldirhash,",
    "virtdomains, unixhierarchysep, partitions and metapartition_files decide where each file is looked for.",
  ];
  if (version.printsVersion) lines.push({ run: site.tool("cyr_info", "version") });
  else lines.push("See the version of the package (`dpkg -l 'cyrus*'`, `rpm -q cyrus-imapd`).");
  if (!version.byUniqueid && version.known) {
    lines.push(
      "Not straight to 3.6 or newer: bring the data up on 3.2.10 or 3.4.4 (or later ones of these) first, which put the",
      "uniqueids in order. `ctl_cyrusdb -r` of 3.6 rewrites the mailbox list, and there is no way back.",
    );
  }
  if (version.known && !version.xapian) {
    lines.push(
      "With both fulldirhash and unixhierarchysep on, 3.0 and newer look for dotted users in other directories: do not",
      "upgrade in place, replicate.",
    );
  }
  if (!version.known) {
    lines.push("Which version it was could not be told: only what no version lacks is named below.");
  }
  return { title: "Check the version.", lines };
}

export function ownerStep(site: RunbookSite, ownersInDoubt: boolean): Step {
  const places = site
    .directories("config", "partition", "metapartition", "archivepartition", "sieve")
    .map(shell);
  const owner = shell(`${site.user}:${site.group}`);
  const lines: StepLine[] = ownersInDoubt
    ? [
        "The restore could not set all owners (see its findings). Give everything to Cyrus:",
        { run: `chown -R ${owner} ${places.join(" ")}` },
      ]
    : [
        `Everything must belong to ${site.user}, group ${site.group} here. The restore set owners by name; a glance:`,
        { run: `ls -ld ${places.join(" ")}` },
        `If they are wrong: \`chown -R ${owner}\` on these directories. It changes no modification time.`,
      ];
  return { title: "Check the owners.", lines };
}

/** Places that a running server needs and that no backup holds. */
export function runtimeDirectoriesStep(site: RunbookSite): Step {
  const config = site.configDirectory;
  const usual = ["db", "lock", "log", "msg", "proc", "socket", "sync"].map((name) =>
    shell(`${config}/${name}`),
  );
  const script = [
    `s#[{]configdirectory[}]#${config.replace(/[&#\\]/g, "\\$&")}#`,
    "s#^(mboxname_lockpath|proc_path):[[:space:]]*##p",
    "s#^[a-z_]*socket:[[:space:]]*(/.*)/[^/]*$#\\1#p",
  ].join("; ");
  const named = `sed -nE ${shell(script)} ${shell(site.workingConf)}`;
  const install = `install -d -o ${shell(site.user)} -g ${shell(site.group)} -m 755 "$d"`;
  return {
    title: "Make the directories that a running server needs and no backup holds.",
    lines: [
      { run: `for d in ${usual.join(" ")} $(${named}); do [ -d "$d" ] || ${install}; done` },
      "(Sockets that cyrus.conf names elsewhere, as Debian does in /run/cyrus, are made by the package's start script.)",
    ],
  };
}

export function quietConfStep(site: RunbookSite): Step {
  const conf = shell(site.cyrusConf);
  const kept = shell(`${site.cyrusConf}.before-restore`);
  const section = "/^[[:space:]]*(START|EVENTS|DAEMON)[[:space:]]*[{]/,/^[[:space:]]*[}]/";
  return {
    title: "Comment out in cyrus.conf what would do harm at the first start.",
    lines: [
      { run: `cp -np ${conf} ${kept}` },
      { run: `sed -i -E '${section} { /^[[:space:]]*#/! { /${HARMFUL}/ s/^/#/ } }' ${conf}` },
      { run: `diff ${kept} ${conf} || true` },
      "The last command shows what is commented out now: in START, EVENTS and DAEMON every entry that calls",
      "  expire -E    where a folder has an expiry, it goes by the Date header: old mail that has just come back is gone",
      "               within minutes (Debian has it in START)",
      "  expire -D -X removes deleted folders and expunged messages for good, by their age: often those you came for",
      "  ctl_mboxlist -m, sync_client",
      "               act on other servers, or let other servers delete mailboxes here",
      "  ipurge, ctl_deliver -E, cyr_virusscan, relocate_by_id",
      "               delete or move on their own",
      "Do the same in crontabs and systemd timers.",
    ],
  };
}

export function databaseStep(site: RunbookSite, version: VersionTraits): Step {
  const reserved = version.byUniqueid
    ? `${site.tool("ctl_mboxlist", "-d")} | grep -E '"mbtype": "[a-z]*z'`
    : `${site.tool("ctl_mboxlist", "-d")} | awk -F '\\t' '{ split($2, t, " "); if (int(t[1] / 32) % 2) print $1 }'`;
  return {
    title: "Bring the databases up.",
    lines: [
      { run: `rm -f ${shell(`${site.configDirectory}/db/skipcleanshutdown`)}` },
      "(With that mark of a clean end `ctl_cyrusdb -r` would recover no skiplist database.)",
      { run: reserved },
      "Must print nothing. What it prints are mailboxes caught while they were being made: the next command deletes them.",
      { run: site.tool("ctl_cyrusdb", "-r") },
      "If it fails on mailboxes.db, do not repair that file: take it from the backup once more, or undump the text",
      "mailbox list.",
    ],
  };
}

/** The raw list names mailboxes that this backup does not hold. */
export function textListStep(
  site: RunbookSite,
  version: VersionTraits,
  list: { readonly path: string; readonly excluded: readonly string[] },
): Step {
  const database = shell(`${site.configDirectory}/mailboxes.db`);
  const source = shell(list.path);
  const kept = shell(`${list.path}.kept`);
  const names = list.excluded.map((name) =>
    version.byUniqueid ? regexp(JSON.stringify(name).slice(1, -1)) : regexp(name),
  );
  // A JSON object must not end in a comma, and the last line may be among those taken out.
  const filter = version.byUniqueid
    ? `grep -vE ${shell(`^"(${names.join("|")})": `)} ${source} | sed -z 's/},\\n}/}\\n}/' > ${kept}`
    : `grep -vE ${shell(`^(${names.join("|")})\t`)} ${source} > ${kept}`;
  return {
    title: "Make the mailbox list anew, without the mailboxes that were excluded from the backup.",
    lines: [
      "The restored mailboxes.db names mailboxes whose files are not here. The text list that lies beside does too; the",
      "first command takes them out.",
      { run: filter },
      { run: `mv ${database} ${shell(`${site.configDirectory}/mailboxes.db.as-restored`)}` },
      { run: `${site.tool("ctl_mboxlist", "-u")} < ${kept}` },
      version.byUniqueid
        ? "Messages about a missing mbtype or partition are about names that were deleted or renamed: harmless. The history"
        : "Do this with the version that the list came from: a newer one reads its lines otherwise. The history",
      "of names is lost, nothing else.",
    ],
  };
}

export function neverStep(site: RunbookSite, version: VersionTraits, options: { remote: boolean }): Step {
  const lines: StepLine[] = [
    "`reconstruct -r -f` over everything: after an exact restore it repairs nothing, takes hours, brings stray",
    "   directories back as folders, and up to 3.4 drops names of user flags that follow an unused one.",
    "`reconstruct -U`: deletes message files. `reconstruct -R`: gives messages new UIDs. `-O`: deletes files.",
    "`reconstruct` while message files are missing: it drops their records, and when the files come back they get new",
    "   UIDs, no flags and no keywords. First all the files, then reconstruct.",
    "cyrus.header, cyrus.index or cyrus.annotations alone, of another day than the rest of the mailbox: flags, UIDs and",
    "   names of keywords would not fit. They come back together or not at all.",
    "Any repair of a torn mailboxes.db: it is better restored once more than repaired.",
  ];
  if (site.external("user.anna.Work") !== "user.anna.Work") {
    lines.push(
      "`reconstruct user.anna.Work`, with an internal name: this site's tools want `reconstruct user/anna/Work`, and pass",
      "   over the other without a word and with exit status 0.",
    );
  }
  if (version.verifyIsBlind) {
    lines.push(
      "`ctl_mboxlist -v`: on 3.6.1 it sees no mailbox that lies by uniqueid and reports every one of them as missing.",
    );
  }
  if (options.remote) {
    lines.push("`ctl_mboxlist -m` before you have read `ctl_mboxlist -m -w`: see the step about the Murder.");
  }
  return { title: "Do not run these, now or later in this procedure.", lines };
}

/** Only what this backup left out or cannot have. Each command looks first whether the site uses the thing at all. */
export function derivedStep(
  site: RunbookSite,
  version: VersionTraits,
  {
    withoutDerivable,
    withSearch,
    spoolIsOlder,
  }: { withoutDerivable: boolean; withSearch: boolean; spoolIsOlder: boolean },
): Step | undefined {
  const conf = shell(site.workingConf);
  const lines: StepLine[] = [];
  const guarded = (pattern: string, command: string): StepLine => ({
    run: `if grep -qE '${pattern}' ${conf}; then ${command}; fi`,
  });
  if (withoutDerivable) {
    lines.push(
      "Caches of headers (they were left out). This counts every message as changed: clients fetch all flags again,",
      "and lose none.",
      { run: `${site.tool("reconstruct", "-q")} > /dev/null` },
    );
  }
  if (version.conversations && (withoutDerivable || spoolIsOlder)) {
    lines.push(
      "Threads, where `conversations` is on:",
      guarded("^conversations:[[:space:]]*(1|t|y|on)", site.tool("ctl_conversationsdb", "-R", "-r")),
    );
  }
  if (version.dav && (withoutDerivable || spoolIsOlder)) {
    lines.push(
      "Calendars and address books, where httpd serves them:",
      guarded("^httpmodules:.*(caldav|carddav)", site.tool("dav_reconstruct", "-a")),
    );
  }
  if (withoutDerivable && !version.compilesSieve) {
    const scripts = site.directories("sieve").map(shell).join(" ");
    const compile = `for s; do ${shell(`${site.toolDirectory}/sievec`)} -C ${conf} "$s" "\${s%.script}.bc"; done`;
    if (scripts !== "") {
      lines.push("Filter scripts, compiled (without bytecode no filter runs, and nobody is told):", {
        run: `runuser -u ${shell(site.user)} -- find ${scripts} -name '*.script' -exec sh -c ${shell(compile)} sh {} +`,
      });
    }
  }
  if (!withSearch) {
    lines.push(
      "Search indexes. This may run for hours, also while the server is up; searches are slow until then, not wrong:",
      guarded(
        `^search_engine:[[:space:]]*(${version.xapian ? "xapian|squat" : "squat"})`,
        site.tool("squatter"),
      ),
    );
  }
  return lines.length === 0 ? undefined : { title: "Make anew what was left out.", lines };
}

export function quotaStep(site: RunbookSite, why: string): Step {
  return {
    title: "Count quota usage again.",
    lines: [why, { run: site.tool("quota", "-f") }, "reconstruct does not do this."],
  };
}

export function proofStep(
  site: RunbookSite,
  version: VersionTraits,
  mailboxes: number,
  options: { allListed: boolean },
): Step {
  const seen = options.allListed ? `${mailboxes} were restored` : "as many as you expect";
  return {
    title: "Prove it, before anybody is let in.",
    lines: [
      { run: `${site.tool("reconstruct", "-n", "-s")} | wc -l` },
      `How many mailboxes Cyrus sees (${seen}; those that no list names are not counted).`,
      { run: `${site.tool("reconstruct", "-n", "-G", "-q")} 2>&1` },
      "Must print nothing. It reads and hashes every message and changes nothing (-n). Without -q it also prints the name",
      "of each mailbox, alone on its line; any other line is a fault, and begins with the mailbox's internal name:",
      "  `uid 7 guid mismatch`  the file is not the message that the index means: take it from another backup",
      "  `uid 7 not found`      the file is missing: bring it back before reconstruct runs without -n",
      "  `System I/O error`     the mailbox's header or index is missing",
      ...(version.byUniqueid
        ? [
            "  `Wrong uniqueid!`      two folders have one uniqueid: it stops there, and has not looked at the rest",
          ]
        : []),
      "The exit status says nothing: it is 0 with most faults too. Without -G a flipped byte is not seen.",
    ],
  };
}

export function startStep(looking: readonly string[]): Step {
  return {
    title: "Start Cyrus and look.",
    lines: [
      "Debian: `systemctl start cyrus-imapd`. With a client: folders, flags, a message of each kind, another user's shared",
      "folder; with cyradm: quota and ACLs.",
      ...looking,
    ],
  };
}

export function putBackStep(site: RunbookSite): Step {
  return {
    title: "Put cyrus.conf back, and restart Cyrus.",
    lines: [
      "First look what the expiry would remove the same night: folders with an `expire` annotation, DELETED folders older",
      "than -D says, messages expunged longer ago than -X says. If people are to find things there, raise the numbers",
      "for a while. Then:",
      { run: `mv ${shell(`${site.cyrusConf}.before-restore`)} ${shell(site.cyrusConf)}` },
      "Restart Cyrus, put crontabs and timers back, and make a backup at once.",
    ],
  };
}

export function murderStep(site: RunbookSite): Step {
  return {
    title: "This server has a list with mailboxes of other servers (Murder). Before it starts:",
    lines: [
      "Ask first whether a replica can take over: that may beat this restore. Stop sync_client and sync_server on both",
      "sides, and decide which side is right, before either talks to the other.",
      "See what the mupdate master would change here, and read it line by line:",
      { run: site.tool("ctl_mboxlist", "-m", "-w") },
      "Plain `ctl_mboxlist -m` (often in START) *deletes* local mailboxes that the master places elsewhere. If the master",
      "is wrong, correct the master.",
    ],
  };
}

export function hereStep(site: RunbookSite): Step {
  const prefix = site.target.replace(/[&|\\]/g, "\\$&");
  const edit = `s|^([@A-Za-z0-9_-]+:[[:space:]]*)/|\\1${prefix}/|`;
  return {
    title: `Make a configuration for ${site.target}.`,
    lines: [
      "The restored imapd.conf names the server's own places. A tool started with it would work on the live server, not",
      "on this copy. Every command below uses this one instead:",
      { run: `sed -E ${shell(edit)} ${shell(site.at(site.imapdConf))} > ${shell(site.workingConf)}` },
      { run: `grep -n '^@include' ${shell(site.workingConf)} || true` },
      "If that prints something, do the same with the files it names, and let the line name the changed one.",
    ],
  };
}

/** The spool is of today, the list of the backup's day: what is on the disk and not in the list. */
export function newerFoldersStep(root: ManifestRoot, site: RunbookSite, version: VersionTraits): Step {
  const since = `-name cyrus.header -newermt ${new Date(root.cutMs).toISOString().slice(0, 19)}Z`;
  const places = site.directories("partition", "metapartition").map(shell).join(" ");
  // A backup of the list alone does not know where the mail lies.
  const named = `sed -nE 's#^(meta)?partition-[^:]*:[[:space:]]*(/.*)$#\\2#p' ${shell(site.workingConf)}`;
  const find = (then: string) =>
    places === ""
      ? `${named} | xargs -rd '\\n' sh -c 'exec find "$@" ${since}${then}' sh`
      : `find ${places} ${since}${then}`;
  return {
    title: "Find folders that are newer than the mailbox list.",
    lines: [
      `The list is of ${moment(root)}. Folders made, renamed or given other rights since then:`,
      { run: find("") },
      ...(version.byUniqueid
        ? [
            "Those that were made or renamed come into the list with the name, rights and uniqueid that their header has. It",
            "touches nothing but the list:",
            { run: `${find(" -print0")} | xargs -0 -r ${site.tool("reconstruct", "-P")}` },
            "A renamed folder is now listed under both names, with one uniqueid. That must not stay so:",
            {
              run: `${site.tool("ctl_mboxlist", "-d")} | grep -vE '"mbtype": "[a-z]*d' | grep -oE '"uniqueid": "[^"]*"' | sort | uniq -d`,
            },
            "Must print nothing. For each uniqueid that it prints: `ctl_mboxlist -d > list`; take the line with the old name out",
            "(the last line before } has no comma); move mailboxes.db away; `ctl_mboxlist -u < list`.",
          ]
        : [
            "Each that no list names: `reconstruct -p PARTITION NAME`, with its external name, made from its path. It takes",
            "uniqueid, rights and names of flags from the header. A renamed folder lies under its new name: move it back, or",
            "make the new one so and delete the old name.",
          ]),
    ],
  };
}
