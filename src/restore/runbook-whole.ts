/** Runbooks for a server that was lost, whole or in one of its halves. */
import { escapeForTerminal } from "../base/escape.ts";
import { excludedNames } from "../manifest/excluded-mailboxes.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { moment, type RunbookInput } from "./runbook-input.ts";
import { type RunbookSite, shell } from "./runbook-site.ts";
import {
  databaseStep,
  derivedStep,
  murderStep,
  neverStep,
  newerFoldersStep,
  ownerStep,
  proofStep,
  putBackStep,
  quietConfStep,
  quotaStep,
  runtimeDirectoriesStep,
  type Step,
  startStep,
  stopStep,
  textListStep,
  versionStep,
} from "./runbook-steps.ts";
import type { VersionTraits } from "./runbook-version.ts";

/** The steps of one case. */
type MakeSteps = (input: RunbookInput, site: RunbookSite, version: VersionTraits) => Step[];

type WholeServerCase = "everything-lost" | "spool-lost" | "configuration-lost";

export const WHOLE_SERVER_STEPS: Readonly<Record<WholeServerCase, MakeSteps>> = {
  "everything-lost": (input, site, version) => {
    const excluded = excludedOf(input);
    const listed = excluded.length === 0;
    return present([
      ...preparation(input, site, version),
      runtimeDirectoriesStep(site),
      site.inPlace ? quietConfStep(site) : undefined,
      listed || input.textListPath === undefined
        ? undefined
        : textListStep(site, version, { path: input.textListPath, excluded }),
      databaseStep(site, version),
      neverStep(site, version, { remote: input.remoteEntries }),
      derived(input, site, version, false),
      hasAllMail(input.root)
        ? undefined
        : quotaStep(site, "The usage restored counts mail that was left out of the backup, too."),
      input.remoteEntries ? murderStep(site) : undefined,
      proofStep(site, version, mailboxesRestored(input), { allListed: !input.anyBackup }),
      ...(site.inPlace ? [startStep(clientsNote(input)), putBackStep(site)] : [bringToItsPlace(site)]),
    ]);
  },
  "spool-lost": (input, site, version) =>
    present([
      ...preparation(input, site, version),
      site.inPlace ? quietConfStep(site) : undefined,
      {
        title: "Forget what the server remembers of mail that is gone.",
        lines: [
          "The configuration directory is newer than the mail. deliver.db would refuse mail that is sent again as already",
          "delivered; statuscache.db holds counts of the lost folders. Both are made anew:",
          {
            run: `rm -f ${["deliver.db", "statuscache.db"].map((name) => shell(`${site.configDirectory}/${name}`)).join(" ")}`,
          },
          "(If imapd.conf has duplicate_db_path or statuscache_db_path, they lie there.)",
        ],
      },
      databaseStep(site, version),
      neverStep(site, version, { remote: input.remoteEntries }),
      {
        title: "Look at what changed between the backup and the loss.",
        lines: [
          `The backup is of ${moment(input.root)}. The mailbox list is of the day of the loss:`,
          "- Folders made since then are in the list and have no files: the proof below names them with an I/O error.",
          "  Delete them when the server is up (cyradm: deletemailbox), or take them from a later backup.",
          "- Folders deleted since then have files and are not in the list: they stay invisible.",
          version.byUniqueid
            ? "- Folders renamed since then keep their files; their cyrus.header has the old name until they are next written."
            : "- Folders renamed since then have their files under the old name: move the directory before you go on.",
          ...excludedNote(input),
        ],
      },
      derived(input, site, version, true),
      quotaStep(site, "The usage on record is of the day of the loss."),
      input.remoteEntries ? murderStep(site) : undefined,
      proofStep(site, version, input.root.counts.mailboxes, { allListed: false }),
      ...(site.inPlace ? [startStep(clientsNote(input)), putBackStep(site)] : [bringToItsPlace(site)]),
    ]),
  "configuration-lost": (input, site, version) =>
    present([
      ...preparation(input, site, version),
      runtimeDirectoriesStep(site),
      site.inPlace ? quietConfStep(site) : undefined,
      databaseStep(site, version),
      neverStep(site, version, { remote: input.remoteEntries }),
      newerFoldersStep(input.root, site, version),
      derived(input, site, version, true),
      quotaStep(site, "The usage restored is of the day of the backup."),
      input.remoteEntries ? murderStep(site) : undefined,
      proofStep(site, version, input.root.counts.mailboxes, { allListed: false }),
      ...(site.inPlace
        ? [
            startStep([
              "Seen state in other people's folders, subscriptions, quota limits and annotations are those of",
              `${moment(input.root)}; flags and mail are of today.`,
            ]),
            putBackStep(site),
          ]
        : [bringToItsPlace(site)]),
    ]),
};

function preparation(input: RunbookInput, site: RunbookSite, version: VersionTraits): Step[] {
  const ownersInDoubt = input.findings.some(
    ({ code }) => code === "owner-not-set" || code === "owner-unknown",
  );
  return [
    ...(site.inPlace ? [stopStep(site)] : []),
    versionStep(site, version),
    ownerStep(site, ownersInDoubt),
  ];
}

function derived(
  { root: { selection } }: RunbookInput,
  site: RunbookSite,
  version: VersionTraits,
  spoolIsOlder: boolean,
): Step | undefined {
  const { withoutDerivable, withSearch } = selection;
  return derivedStep(site, version, { withoutDerivable, withSearch, spoolIsOlder });
}

function bringToItsPlace(site: RunbookSite): Step {
  return {
    title: "Bring it to its place.",
    lines: [
      `What lies below ${escapeForTerminal(site.target)} is proven now. Do not copy it with a tool that drops hard links or times:`,
      "run the same restore with `--target /` on the machine that is to serve it, and follow the runbook it prints.",
    ],
  };
}

function clientsNote({ root, anyBackup }: RunbookInput): string[] {
  return [
    `Mail and flags are those of ${anyBackup ? "the day of the backup" : moment(root)}. Clients that were connected after that hold newer state under`,
    "UIDs that will be given out again: have them drop their local copies of folders that had mail since.",
  ];
}

function excludedNote({ root }: RunbookInput): string[] {
  const excluded = excludedNames(root, true);
  if (excluded.length === 0) return [];
  const { excludeMailboxes, excludeSpecialUse = [] } = root.selection;
  return [
    `- ${excluded.length} mailboxes were excluded from the backup (${[...excludeMailboxes, ...excludeSpecialUse].join(", ")}). They are in the`,
    "  list, and their mail is not in this backup.",
  ];
}

/** Those that the restored server does not have: of the others there are empty mailboxes. */
function excludedOf({ root, excluded, listIsWithout }: RunbookInput): string[] {
  return listIsWithout === true ? [] : excludedNames(root, excluded === "absent");
}

function mailboxesRestored({ root, excluded }: RunbookInput): number {
  const kept = excludedNames(root, true).length - excludedNames(root, false).length;
  return root.counts.mailboxes - (excluded === "absent" ? kept : 0);
}

function hasAllMail(root: ManifestRoot): boolean {
  const { excludeLarger, excludeOlderMs } = root.selection;
  return (
    excludedNames(root, true).length === 0 && excludeLarger === undefined && excludeOlderMs === undefined
  );
}

function present(steps: readonly (Step | undefined)[]): Step[] {
  return steps.filter((step) => step !== undefined);
}
