import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import type { LeftOut, ManifestRoot } from "../../../src/manifest/model.ts";
import type { RestoreFinding, RestoreOptions } from "../../../src/restore/options.ts";
import { makeRunbook, type RunbookCase, type RunbookInput } from "../../../src/restore/runbook.ts";
import { caseOf } from "../../../src/restore/runbook-input.ts";
import { shell } from "../../../src/restore/runbook-site.ts";
import { type VersionFamily, versionFamily } from "../../../src/restore/runbook-version.ts";

const FAMILIES: readonly VersionFamily[] = ["2.4", "2.5", "3.0-3.4", "3.6", "3.8-3.12", "3.13+", "unknown"];
const WHOLE: readonly RunbookCase[] = ["everything-lost", "spool-lost", "configuration-lost"];
const CASES: readonly RunbookCase[] = [...WHOLE, "list-lost", "some-mailboxes", "messages-only"];

describe.each(CASES)("the runbook for %s", (kase) => {
  test.each(FAMILIES)("of %s names no tool and no option that this version lacks", (family) => {
    const text = runbook({ case: kase, family, root: root({ withoutDerivable: true }) });
    const lacks: readonly (readonly [pattern: RegExp, families: readonly VersionFamily[]])[] = [
      [/reconstruct \S* ?-P|reconstruct -C \S+ -P/, ["2.4", "2.5", "3.0-3.4", "unknown"]],
      [/ctl_conversationsdb/, ["2.4", "2.5", "unknown"]],
      [/dav_reconstruct/, ["2.4", "unknown"]],
      [/cyr_info/, ["2.4", "2.5", "3.0-3.4", "unknown"]],
      [/xapian/, ["2.4", "2.5", "unknown"]],
      [/"mbtype"/, ["2.4", "2.5", "3.0-3.4", "unknown"]],
      [/cyr_withlock_run|relocate_by_id -/, FAMILIES],
    ];
    for (const [pattern, families] of lacks) {
      if (families.includes(family)) expect(text).not.toMatch(pattern);
    }
  });

  test("warns of what destroys, each with its reason", () => {
    const text = runbook({ case: kase });
    expect(text).toContain("Do not run these");
    expect(text).toMatch(/`reconstruct -U`: deletes/);
    expect(text).toMatch(/new UID/);
  });

  test("has its steps numbered without a gap, and no line out of proportion", () => {
    const lines = runbook({ case: kase }).split("\n");
    const numbers = lines.flatMap((line) => /^(\d+)\. /.exec(line)?.[1] ?? []).map(Number);
    expect(numbers).toEqual(numbers.map((_, position) => position + 1));
    expect(lines.filter((line) => line.length > 130 && !line.startsWith("        "))).toEqual([]);
  });

  test("commands are sound bash", () => {
    for (const family of FAMILIES) {
      for (const target of ["/", "/srv/it's here & there"]) {
        for (const line of commands(
          runbook({ case: kase, family, target, root: root({ withoutDerivable: true }) }),
        ))
          execFileSync("bash", ["-n", "-c", line]);
      }
    }
  });
});

describe.each([...WHOLE, "list-lost"] as const)("a whole server, %s", (kase) => {
  test("the order is: stop, quiet cyrus.conf, databases, proof, start, put back", () => {
    const text = runbook({ case: kase });
    const order = [
      "Stop Cyrus",
      "Comment out in cyrus.conf",
      "ctl_cyrusdb -C /etc/imapd.conf -r",
      "reconstruct -C /etc/imapd.conf -n -G -q",
      "Start Cyrus",
      "Put cyrus.conf back",
    ].map((words) => text.indexOf(words));
    expect(order).not.toContain(-1);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  test("the mark of a clean end goes before the recovery", () => {
    const lines = commands(runbook({ case: kase }));
    const mark = lines.indexOf("rm -f /var/lib/cyrus/db/skipcleanshutdown");
    expect(mark).toBeGreaterThanOrEqual(0);
    expect(mark).toBeLessThan(lines.findIndex((line) => line.includes("ctl_cyrusdb")));
  });

  test("no reconstruct that changes anything after an exact restore", () => {
    const changing = commands(runbook({ case: kase })).filter(
      (line) => /\breconstruct\b/.test(line) && !/ -n | -P/.test(line),
    );
    expect(changing).toEqual([]);
  });

  test("the proof says how to read it", () => {
    const text = runbook({ case: kase });
    expect(text).toContain("The exit status says nothing");
    expect(text).toContain("guid mismatch");
  });
});

test("everything lost: what a server needs to run and no backup holds is made", () => {
  const [line = ""] = commands(runbook({ case: "everything-lost" })).filter((command) =>
    command.includes("install -d"),
  );
  expect(line).toContain("/var/lib/cyrus/proc");
  expect(line).toContain("mboxname_lockpath|proc_path");
});

test("spool lost: the memory of delivered mail goes, usage and threads are counted again", () => {
  const lines = commands(runbook({ case: "spool-lost" }));
  expect(lines).toContain("rm -f /var/lib/cyrus/deliver.db /var/lib/cyrus/statuscache.db");
  expect(lines.some((line) => line.endsWith("/quota -C /etc/imapd.conf -f"))).toBe(true);
  expect(lines.some((line) => line.includes("ctl_conversationsdb") && line.includes("conversations:"))).toBe(
    true,
  );
});

test("configuration lost: folders newer than the list are found by the time of the backup", () => {
  const at = "-newermt 2026-01-02T03:04:05Z";
  expect(runbook({ case: "configuration-lost", family: "3.6" })).toMatch(
    new RegExp(`${at} -print0 \\| xargs -0 -r .*reconstruct -C \\S+ -P`),
  );
  const old = runbook({ case: "configuration-lost", family: "2.4" });
  expect(old).toContain(at);
  expect(old).toContain("reconstruct -p PARTITION");
});

test("configuration lost: a folder that is listed twice is found, one that only left a tombstone is not", () => {
  const [line = ""] = commands(runbook({ case: "configuration-lost" })).filter((c) => c.endsWith("uniq -d"));
  const list = (second: string) =>
    `{\n"a": {"mbtype": "e", "uniqueid": "x1"},\n"b": {"mbtype": "${second}", "uniqueid": "x1"},\n"c": {"mbtype": "e", "uniqueid": "y"}\n}\n`;
  const filter = line.slice(line.indexOf(" | ") + 3);
  const of = (type: string) =>
    execFileSync("bash", ["-c", filter], { input: list(type), encoding: "utf8" }).trim();
  expect(of("e")).toBe('"uniqueid": "x1"');
  expect(of("ed")).toBe("");
  expect(runbook({ case: "configuration-lost", family: "2.5" })).not.toContain("uniq -d");
});

describe("the mailbox list alone", () => {
  const alone = { ...root(), roots: root().roots.filter(({ kind }) => kind === "config") } as ManifestRoot;

  test("beside the server: it goes to its place on the server, to which all commands are given", () => {
    const lines = commands(runbook({ case: "list-lost", target: "/srv/back", root: alone }));
    expect(lines).toContain("cp -p /srv/back/var/lib/cyrus/mailboxes.db /var/lib/cyrus/mailboxes.db");
    expect(lines.join("\n")).not.toContain(".here");
    const kept = root({}, { mailboxList: "/fast/mailboxes.db" });
    expect(commands(runbook({ case: "list-lost", target: "/srv/back", root: kept })).join("\n")).toContain(
      "cp -p /srv/back/fast/mailboxes.db /fast/mailboxes.db",
    );
  });

  test("newer folders are looked for in the partitions that imapd.conf names, and nowhere else", () => {
    const directory = mkdtempSync(join(tmpdir(), "cyrvault-runbook-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const conf = join(directory, "imapd.conf");
    const folder = join(directory, "my spool", "user", "anna");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "cyrus.header"), "");
    writeFileSync(join(directory, "cyrus.header"), "not of a partition");
    const found = () => {
      const text = runbook({
        case: "list-lost",
        root: { ...alone, cyrus: { version: "", layout: { config: conf } } },
      });
      const [line = ""] = commands(text).filter((command) => command.includes("-newermt"));
      return execFileSync("bash", ["-c", line], { cwd: directory, encoding: "utf8" });
    };
    writeFileSync(
      conf,
      `configdirectory: /x\npartition-default:  ${directory}/my spool\nmetapartition_files: header\n`,
    );
    expect(found()).toBe(`${folder}/cyrus.header\n`);
    writeFileSync(conf, "configdirectory: /x\n");
    expect(found()).toBe("");
  });
});

test("some mailboxes: never a uniqueid twice, no expiry, both forms of the name", () => {
  const text = runbook({
    case: "some-mailboxes",
    target: "/srv/back",
    mailboxes: ["user.fred^smith.Two words"],
  });
  expect(text).toContain("uniqueid must never be on a server twice");
  expect(text).toContain("mboxconfig 'user/fred.smith/Two words' expire 0");
  expect(text).toContain("user.fred^smith.Two words   (for Cyrus's tools: user/fred.smith/Two words)");
  expect(text).toContain("find /srv/back/var/spool/cyrus/mail -name cyrus.header");
  expect(text, "the live server is stopped and counted").toContain("quota -C /etc/imapd.conf -f");
});

test("messages only: back into place while the record is there, as new messages when it is gone", () => {
  const text = runbook({ case: "messages-only" });
  expect(text).toContain("put the files back where they were, before anything else");
  expect(text).toContain("as new messages");
});

test("names are external as this site has them", () => {
  const slash = runbook({ case: "everything-lost" });
  expect(slash).toContain("user/anna/Work");
  const dots = runbook({
    case: "some-mailboxes",
    root: root({}, { unixHierarchySep: "false" }),
    mailboxes: ["example.com!user.fred^smith"],
  });
  expect(dots).toContain("user.fred^smith@example.com");
  expect(dots).not.toContain("user/");
});

test("beside the server every command has the prefix, and a configuration of its own", () => {
  const lines = commands(runbook({ case: "everything-lost", target: "/srv/back/" }));
  expect(lines.length).toBeGreaterThan(6);
  for (const line of lines.filter((command) => command.includes(" -C "))) {
    expect(line).toContain("-C /srv/back/etc/imapd.conf.here");
  }
  expect(lines.join("\n")).not.toMatch(/ \/(var|etc)\//);
  expect(lines.some((line) => line.includes("systemctl"))).toBe(false);
});

test("the configuration for a place beside the server has every path below it", () => {
  const [line = ""] = commands(runbook({ case: "everything-lost", target: "/srv/a|b&c" }));
  const script = /^sed -E ('.*?') '\/srv/.exec(line)?.[1] ?? "no sed";
  const conf =
    "configdirectory: /var/lib/cyrus\npartition-default:/spool\nx: a/b\n@include: /etc/more\n# c: /d\n";
  const output = execFileSync("bash", ["-c", `sed -E ${script}`], { input: conf, encoding: "utf8" });
  expect(output).toBe(
    "configdirectory: /srv/a|b&c/var/lib/cyrus\npartition-default:/srv/a|b&c/spool\nx: a/b\n" +
      "@include: /srv/a|b&c/etc/more\n# c: /d\n",
  );
});

test("the search for directories reads imapd.conf as it is written", () => {
  const [line = ""] = commands(runbook({ case: "everything-lost" })).filter((c) => c.includes("install -d"));
  const script = /\$\(sed -nE ('.*') \/etc\/imapd\.conf\)/.exec(line)?.[1] ?? "no sed";
  const conf =
    "proc_path: /run/cyrus/proc\nmboxname_lockpath: {configdirectory}/locks\nlmtpsocket: /run/cyrus/socket/lmtp\n" +
    "sievedir: /var/spool/sieve\n";
  const output = execFileSync("bash", ["-c", `sed -nE ${script}`], { input: conf, encoding: "utf8" });
  expect(output).toBe("/run/cyrus/proc\n/var/lib/cyrus/locks\n/run/cyrus/socket\n");
});

test("what does harm is commented out in START, EVENTS and DAEMON, and nothing else", () => {
  const [line = ""] = commands(runbook({ case: "everything-lost" })).filter((c) => c.startsWith("sed -i"));
  const script = /^sed -i -E ('.*') \//s.exec(line)?.[1] ?? "no sed";
  const conf = [
    "START {",
    '  recover cmd="ctl_cyrusdb -r"',
    '  delprune cmd="/usr/sbin/cyrus expire -E 3"',
    '  list cmd="ctl_mboxlist -m"',
    "}",
    "SERVICES {",
    '  sync_client_like cmd="imapd" listen="imap"',
    "}",
    "EVENTS {",
    "  # expire is below",
    '  deleteprune cmd="cyr_expire -E 4 -D 28" at=0430',
    "}",
    "DAEMON {",
    '  sync cmd="/usr/sbin/cyrus sync_client -r"',
    "}",
    "",
  ];
  const output = execFileSync("bash", ["-c", `sed -E ${script}`], {
    input: conf.join("\n"),
    encoding: "utf8",
  });
  const changed = output.split("\n").flatMap((now, position) => (now === conf[position] ? [] : [position]));
  expect(changed).toEqual([2, 3, 10, 13]);
});

describe("with mailboxes excluded from the backup", () => {
  const leftOut = ["user.bruno", 'user.a"b'].map((path): LeftOut => {
    return { path, reason: "mailbox excluded (--exclude-mailbox)", files: 0, bytes: 0 };
  });
  const excluded = { ...root(), leftOut } as ManifestRoot;

  test("the list is made from text without them, and usage is counted again", () => {
    const text = runbook({ case: "everything-lost", root: excluded, textListPath: "/list.txt" });
    expect(text).toContain("/usr/lib/cyrus/bin/ctl_mboxlist -C /etc/imapd.conf -u < /list.txt.kept");
    expect(text).toContain("Count quota usage again");
    expect(text.indexOf("-u <")).toBeLessThan(text.indexOf("ctl_cyrusdb -C"));
    expect(runbook({ case: "everything-lost", textListPath: "/list.txt" })).not.toContain("-u <");
  });

  test("the proof counts those that came back; a mailbox without its mail must not take the place of one with", () => {
    const kept = leftOut.map((one) => ({ ...one, reason: `${one.reason}; its header and index are kept` }));
    const counts = { ...root().counts, mailboxes: 16 };
    const thin = { ...root({ excludeLarger: 102_400 }), leftOut: kept, counts } as ManifestRoot;
    const whole = (excluded: "empty" | "absent") =>
      runbook({ case: "everything-lost", root: thin, excluded, listIsWithout: true });
    expect(whole("empty")).toContain("16 were restored");
    expect(whole("absent")).toContain("14 were restored");
    const some = runbook({ case: "some-mailboxes", root: thin, mailboxes: ["user.anna", "user.bruno"] });
    expect(some).toMatch(/Never put these in the place of a folder that has mail:\n\s+user\.bruno\n/);
    expect(some).toContain("of more than 102400 bytes: they count as expunged here");
    expect(runbook({ case: "some-mailboxes" })).not.toMatch(/empty here|expunged here/);
  });

  test("what is left is a JSON text list, also when the last line goes", () => {
    const names = ["user.anna", 'user.a"b', "user.brunos", "user.bruno"];
    const input = `{\n${names.map((name) => `${JSON.stringify(name)}: {"name": 1}`).join(",\n")}\n}\n`;
    expect(Object.keys(JSON.parse(filtered(excluded, "3.6", input)))).toEqual(["user.anna", "user.brunos"]);
  });

  test("what is left is a text list of old", () => {
    const input =
      "user.anna\t0 default anna\tlrs\t\nuser.bruno\t0 default b\tlrs\t\nuser.brunos\t0 default b\tlrs\t\n";
    expect(
      filtered(excluded, "2.4", input)
        .split("\n")
        .map((line) => line.split("\t")[0]),
    ).toEqual(["user.anna", "user.brunos", ""]);
  });
});

test("what was left out is made anew, and nothing where nothing was", () => {
  const full = runbook({ case: "everything-lost", root: root({ withSearch: true }) });
  expect(full).not.toContain("Make anew");
  const bare = runbook({
    case: "everything-lost",
    root: root({ withoutDerivable: true }),
    family: "3.0-3.4",
  });
  for (const words of [
    "reconstruct -C /etc/imapd.conf -q",
    "ctl_conversationsdb",
    "dav_reconstruct",
    "sievec",
    "squatter",
  ])
    expect(bare).toContain(words);
  expect(runbook({ case: "everything-lost", root: root({ withoutDerivable: true }) })).not.toContain(
    "sievec",
  );
});

test("the Murder is spoken of only where the list has entries of other servers", () => {
  expect(runbook({ case: "everything-lost", remoteEntries: true })).toContain(
    "ctl_mboxlist -C /etc/imapd.conf -m -w",
  );
  expect(runbook({ case: "everything-lost" })).not.toMatch(/Murder|mupdate/);
});

test("only 3.6 is warned of ctl_mboxlist -v, and only old data of the way to 3.6", () => {
  const families = (words: string) =>
    FAMILIES.filter((family) => runbook({ case: "everything-lost", family }).includes(words));
  expect(families("`ctl_mboxlist -v`")).toEqual(["3.6"]);
  expect(families("Not straight to 3.6")).toEqual(["2.4", "2.5", "3.0-3.4"]);
  expect(families("fulldirhash and unixhierarchysep on")).toEqual(["2.4", "2.5"]);
  expect(families("Which version it was could not be told")).toEqual(["unknown"]);
});

test("findings of the restore come first, escaped; owners in doubt are set", () => {
  const findings: RestoreFinding[] = [
    finding("object-damaged", "error", "the block\u001b[31m is damaged"),
    finding("owner-not-set", "warning", "root only"),
    finding("differs-kept", "note", "kept"),
  ];
  const text = runbook({ case: "everything-lost", findings });
  expect(text).toContain("The restore had 2 findings");
  expect(text).not.toContain("\u001b");
  expect(text).toContain("chown -R cyrus:mail /var/lib/cyrus");
});

test("the site's own tools, user and group are used", () => {
  const text = runbook({
    case: "everything-lost",
    tools: "/usr/cyrus/bin",
    owner: { user: "imap", group: "imap" },
  });
  expect(text).toContain("runuser -u imap -- /usr/cyrus/bin/reconstruct");
  expect(text).toContain("install -d -o imap -g imap");
});

test.each([
  [{}, "unknown"],
  [{ listStyle: "text", maxIndexVersion: 12 }, "2.4"],
  [{ maxIndexVersion: 10 }, "2.4"],
  [{ listStyle: "dlist", maxIndexVersion: 13 }, "2.5"],
  [{ listStyle: "text", maxIndexVersion: 13 }, "2.5"],
  [{ listStyle: "dlist", maxIndexVersion: 16 }, "3.0-3.4"],
  [{ listStyle: "text", maxIndexVersion: 17 }, "3.0-3.4"],
  [{ listStyle: "dlist-by-id", maxIndexVersion: 17 }, "3.6"],
  [{ listStyle: "dlist-by-id", maxIndexVersion: 0 }, "3.6"],
  [{ listStyle: "dlist-by-id", maxIndexVersion: 19 }, "3.8-3.12"],
  [{ listStyle: "dlist-by-id", maxIndexVersion: 20 }, "3.13+"],
  [{ listStyle: "dlist-by-id", maxIndexVersion: 99 }, "3.13+"],
] as const)("%j is of %s", (known, family) => {
  expect(versionFamily(known)).toBe(family);
});

test("the case follows from what was asked for", () => {
  const none = { only: [], users: [], mailboxes: [], uids: undefined, mappings: [] } as const;
  const asked = { ...none, target: fromText("/"), owner: undefined, overwrite: undefined };
  const of = (given: Partial<RestoreOptions>, server = "mail") => caseOf({ ...asked, ...given }, server);
  const partition = { part: "partition", name: fromText("default") } as const;
  expect(of({})).toBe("everything-lost");
  expect(of({ only: [partition] })).toBe("spool-lost");
  expect(of({ only: [partition, { part: "sieve" }] })).toBe("spool-lost");
  expect(of({ only: [{ part: "configdirectory" }] })).toBe("configuration-lost");
  expect(of({ only: [partition, { part: "configdirectory" }] })).toBe("everything-lost");
  expect(of({ only: [{ part: "mailbox-list" }] })).toBe("list-lost");
  expect(of({ only: [{ part: "mailbox-list" }, partition] })).toBe("everything-lost");
  expect(of({}, "mail (mailbox list)")).toBe("list-lost");
  expect(of({ users: [fromText("anna")] })).toBe("some-mailboxes");
  expect(of({ mailboxes: [fromText("user.anna")] })).toBe("some-mailboxes");
  expect(of({ mailboxes: [fromText("user.anna")], uids: { has: () => true } })).toBe("messages-only");
});

test("any word comes through bash as it is", () => {
  for (const word of [
    "a b",
    "it's",
    "$HOME `id` $(id)",
    "ü",
    "new\nline",
    "\u202ereverse",
    "a\\b'\u0007",
    "*?[x]",
  ])
    expect(execFileSync("bash", ["-c", `printf %s ${shell(word)}`], { encoding: "utf8" })).toBe(word);
});

function runbook(given: Partial<RunbookInput> & Pick<RunbookInput, "case">): string {
  return makeRunbook({
    root: root(),
    family: "3.6",
    target: "/",
    mailboxes: ["user.anna.Work"],
    findings: [],
    remoteEntries: false,
    ...given,
  });
}

function root(
  selection: Partial<ManifestRoot["selection"]> = {},
  layout: Readonly<Record<string, string>> = {},
): ManifestRoot {
  const tree = { page: undefined, height: 0, entries: 0 };
  return {
    format: 1,
    backup: "20260102T030405Z-0123abcd",
    parent: undefined,
    server: "mail.example.org",
    host: "mail",
    startedMs: 0,
    completedMs: 0,
    cutMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    view: { kind: "none", consistency: "" },
    cyrus: {
      version: undefined,
      layout: { config: "/etc/imapd.conf", unixHierarchySep: "true", virtDomains: "off", ...layout },
    },
    roots: [
      { kind: "config", name: "", path: fromText("/var/lib/cyrus") },
      { kind: "partition", name: "default", path: fromText("/var/spool/cyrus/mail") },
      { kind: "sieve", name: "", path: fromText("/var/spool/sieve") },
      { kind: "file", name: "", path: fromText("/etc/cyrus.conf") },
    ],
    selection: {
      excludeMailboxes: [],
      includes: [],
      withoutDerivable: false,
      withSearch: false,
      ...selection,
    },
    leftOut: [],
    acceptRules: [],
    users: {},
    groups: {},
    mailboxes: tree,
    files: tree,
    findings: tree,
    mailboxList: undefined,
    counts: {
      mailboxes: 3,
      changed: 0,
      unchanged: 0,
      new: 3,
      gone: 0,
      messages: 0,
      messagesNew: 0,
      messagesRead: 0,
      files: 0,
      findings: { note: 0, warning: 0, error: 0, accepted: 0 },
    },
    bytes: { source: 0, read: 0, added: 0, stored: 0 },
  };
}

function finding(
  code: RestoreFinding["code"],
  severity: RestoreFinding["severity"],
  message: string,
): RestoreFinding {
  return { code, severity, path: "/var/spool/cyrus/mail/x" as ByteString, message };
}

function commands(text: string): string[] {
  return text.split("\n").flatMap((line) => (/^ {8}\S/.test(line) ? [line.trim()] : []));
}

/** What the printed filter makes of a list. */
function filtered(of: ManifestRoot, family: VersionFamily, input: string): string {
  const text = runbook({ case: "everything-lost", root: of, family, textListPath: "/list.txt" });
  const [line = ""] = commands(text).filter((command) => command.startsWith("grep -vE"));
  const filter = line.replace(" /list.txt", "").replace(/ > \S+$/, "");
  return execFileSync("bash", ["-c", filter], { input, encoding: "utf8" });
}
