/** Runbooks for a server that lives on: some of its mailboxes, or some messages, are to come back beside the rest. */
import { fromText } from "../base/byte-string.ts";
import { isExcludedEntry } from "../manifest/excluded-mailboxes.ts";
import { moment, type RunbookInput } from "./runbook-input.ts";
import { RunbookSite, shell } from "./runbook-site.ts";
import { ownerStep, proofStep, quotaStep, type Step, type StepLine, stopStep } from "./runbook-steps.ts";
import type { VersionTraits } from "./runbook-version.ts";

const NAMES_SHOWN = 50;
const DAY_MS = 86_400_000;

export function someMailboxesRunbook(input: RunbookInput, site: RunbookSite, version: VersionTraits): Step[] {
  const names = input.mailboxes.slice(0, NAMES_SHOWN);
  const first = names[0] ?? "user.anna.Work";
  const ownersInDoubt = input.findings.some(({ code }) => code.startsWith("owner-"));
  const live = new RunbookSite({ ...input, target: "/" });
  return [
    ownerStep(site, ownersInDoubt),
    {
      title: "Know what came back.",
      lines: [
        `Mailboxes of ${moment(input.root)}, each whole: header, index, annotations and messages of one moment.`,
        ...names.map((name) => `  ${name}   (for Cyrus's tools: ${site.external(name)})`),
        ...(input.mailboxes.length > names.length
          ? [`  … and ${input.mailboxes.length - names.length} more`]
          : []),
        ...incompleteNote(input),
      ],
    },
    neverTwiceStep(input, site, version),
    {
      title: "Do not run these.",
      lines: [
        "A copy of the files into a folder that is in use: UIDs, flags and quota of the live folder would be overwritten.",
        "Message files alone into a live folder, then reconstruct: they get new UIDs, no flags, no keywords.",
        "`reconstruct -U`: deletes message files. `reconstruct -r -f` over more than these folders: brings strays back.",
        ...(site.external(first) === first
          ? []
          : [`An internal name (${first}) for reconstruct or quota: they pass over it without a word.`]),
      ],
    },
    stopStep(live),
    putInPlaceStep(site, version, first),
    quotaStep(live, "The folders count again:"),
    proofStep(live, version, input.root.counts.mailboxes, { allListed: false }),
    {
      title: "Start Cyrus, and keep the folders from being expired at once.",
      lines: [
        "With old mail in them, an expiry that they inherit or carry would empty them the same night. In cyradm:",
        ...names.map((name) => `  mboxconfig ${shell(site.external(name))} expire 0`),
        "Take that away again when the user has what he wanted. Look at rights (listacl) and quota (listquotaroot) too.",
      ],
    },
  ];
}

/** What must not take the place of a folder that still has its mail. */
function incompleteNote({ root, mailboxes }: RunbookInput): string[] {
  const empty = mailboxes.filter((name) => isExcludedEntry(root, fromText(name)));
  const { excludeLarger, excludeOlderMs } = root.selection;
  const lines =
    empty.length === 0
      ? []
      : [
          "Excluded from the backup, and empty here. Never put these in the place of a folder that has mail:",
          ...empty.map((name) => `  ${name}`),
        ];
  if (excludeLarger !== undefined || excludeOlderMs !== undefined)
    lines.push(
      `The backup leaves out messages ${[
        ...(excludeLarger === undefined ? [] : [`of more than ${excludeLarger} bytes`]),
        ...(excludeOlderMs === undefined ? [] : [`of more than ${Math.round(excludeOlderMs / DAY_MS)} days`]),
      ].join(" and ")}: they count as expunged here.`,
      "In the place of a live folder that would lose them: restore elsewhere, and copy what is wanted as a client.",
    );
  return lines;
}

/** In 3.6 and newer two mailboxes with one uniqueid share one directory. */
function neverTwiceStep(input: RunbookInput, site: RunbookSite, version: VersionTraits): Step {
  const headers = site.inPlace ? [] : site.directories("partition", "metapartition").map(shell);
  const lines: StepLine[] = version.byUniqueid
    ? [
        "A uniqueid must never be on a server twice. Two mailboxes with one uniqueid share one directory and ruin each",
        "other, and a folder that was deleted with delay (DELETED.…) still has the uniqueid that it had.",
        "For each mailbox look for its uniqueid (in its cyrus.header, after I) in the live list; the file is text:",
      ]
    : [
        "A uniqueid must never be on a server twice: seen state and annotations go by it. A folder that was deleted with",
        "delay (DELETED.…) still has the uniqueid that it had. It is in the second line of each cyrus.header, after the TAB.",
      ];
  if (headers.length > 0)
    lines.push({ run: `find ${headers.join(" ")} -name cyrus.header -exec head -n 6 {} +` });
  if (version.byUniqueid) {
    lines.push(
      "  `ctl_mboxlist -d | grep -F UNIQUEID` on the live server:",
      "- It shows the folder under the same name: its files may be replaced, all of them, with the server stopped.",
      "- It shows a name that begins with DELETED: rename that folder back in cyradm (renamemailbox); no restore is needed,",
      "  unless its content is wrong.",
      "- It shows another name: the folder was renamed. Replace its files there, or leave it.",
      "- It shows nothing: the folder can come back as below.",
    );
  } else {
    lines.push(
      `- ${site.external(input.mailboxes[0] ?? "user.anna.Work")} is in the live list: its files may be replaced, all of them, with the server stopped.`,
      "- A DELETED folder of that name is there: rename it back in cyradm (renamemailbox); no restore is needed.",
      "- Neither: the folder can come back as below.",
    );
  }
  return { title: "See that no uniqueid comes twice.", lines };
}

function putInPlaceStep(site: RunbookSite, version: VersionTraits, first: string): Step {
  const where = site.inPlace
    ? ["The files are in their places already."]
    : [
        "Move each mailbox's directory to the same path without the prefix, on the same partition (and its metadata and",
        "archive directories likewise). If the folder exists, move its present directory away first, whole.",
      ];
  return {
    title: "Put the mailboxes in place, with the server stopped.",
    lines: [
      ...where,
      "What the list does not name yet comes into it from its header, with name, rights and uniqueid:",
      ...(version.byUniqueid
        ? ["  `reconstruct -P /path/of/the/mailbox/cyrus.header` (touches the list only)"]
        : [
            `  \`reconstruct -p PARTITION ${site.external(first)}\``,
            "  (without -x: that would forget uniqueid, flags and rights)",
          ]),
      ...(version.conversations
        ? ["Where `conversations` is on, also: `ctl_conversationsdb -R USER` for each user concerned."]
        : []),
    ],
  };
}

export function messagesOnlyRunbook(input: RunbookInput, site: RunbookSite, version: VersionTraits): Step[] {
  const first = input.mailboxes[0] ?? "user.anna.Work";
  const name = site.external(first);
  return [
    {
      title: "Find out which of two things happened.",
      lines: [
        `Files of messages as they were on ${moment(input.root)}, without index: ${input.mailboxes.slice(0, NAMES_SHOWN).join(", ")}.`,
        "A. The disk lost or spoilt files, and Cyrus's index still has the messages. Step 2.",
        "B. The messages were deleted, and are gone from the index. Step 3.",
        `\`reconstruct -n -G ${shell(name)}\` on the live server tells: it names UIDs that are in the index`,
        "and whose file is missing (`not found`) or not the right one (`guid mismatch`). Its exit status says nothing.",
      ],
    },
    {
      title: "A: put the files back where they were, before anything else.",
      lines: [
        "With their own names (UID and a full stop), owner and mode; the server may run. As long as the record is in the",
        "index, nothing else changes: UID, flags and dates stay. If reconstruct has run without -n before that, the record",
        "is gone: then it is case B.",
        ...(site.inPlace ? [] : [`The files lie below ${site.target}, on the paths of the server.`]),
        `Then \`reconstruct -n -G ${shell(name)}\` must print nothing but the name.`,
      ],
    },
    {
      title: "B: give them to the server as new messages.",
      lines: [
        "Append them by IMAP, into a new folder, with their flags and dates (`cyrvault ls BACKUP MAILBOX --json` shows",
        "these): any client that opens message files can, or `cyrvault cat` for each. They get new UIDs.",
        `Set \`mboxconfig FOLDER expire 0\` in cyradm on that folder before the night: with old dates they would expire.`,
        ...(version.known
          ? ["If they were expunged lately, `unexpunge -l` may still list them: no backup is needed then."]
          : []),
      ],
    },
    {
      title: "Do not run these.",
      lines: [
        "A copy into the folder's directory for case B, then reconstruct: a UID that was used before gets a new one, flags",
        "   and keywords are lost.",
        "`reconstruct -U`: deletes the files of messages that do not match.",
      ],
    },
  ];
}
