/** The runbook for a mailbox list that comes back alone, beside a spool and a configuration that are whole. */
import { moment, type RunbookInput } from "./runbook-input.ts";
import { RunbookSite, shell } from "./runbook-site.ts";
import {
  databaseStep,
  murderStep,
  neverStep,
  newerFoldersStep,
  proofStep,
  putBackStep,
  quietConfStep,
  type Step,
  type StepLine,
  startStep,
  stopStep,
  versionStep,
} from "./runbook-steps.ts";
import type { VersionTraits } from "./runbook-version.ts";

/** Everything but the list is where the server has it, so that all commands are for the server itself. */
export function listLostRunbook(input: RunbookInput, site: RunbookSite, version: VersionTraits): Step[] {
  const live = new RunbookSite({ ...input, target: "/" });
  const { root, remoteEntries } = input;
  return [
    stopStep(live),
    versionStep(live, version),
    putListInPlaceStep(site, live, input.textListPath),
    quietConfStep(live),
    databaseStep(live, version),
    neverStep(live, version, { remote: remoteEntries }),
    newerFoldersStep(root, live, version),
    {
      title: "Know what else the list is too old for.",
      lines: [
        "Folders deleted since then are in the list and have no files: the proof below names them with an I/O error.",
        "Delete them when the server is up (cyradm: deletemailbox). Rights given since then are lost, unless the folder was",
        "among those found above.",
      ],
    },
    ...(remoteEntries ? [murderStep(live)] : []),
    proofStep(live, version, root.counts.mailboxes, { allListed: false }),
    startStep([`Names and rights are those of ${moment(root)}; everything else is of today.`]),
    putBackStep(live),
  ];
}

function putListInPlaceStep(site: RunbookSite, live: RunbookSite, textList: string | undefined): Step {
  const place = shell(live.mailboxList);
  const lines: StepLine[] = site.inPlace
    ? ["It is there already.", { run: `ls -l ${place}` }]
    : [
        { run: `if [ -e ${place} ]; then mv -n ${place} ${shell(`${live.mailboxList}.before-restore`)}; fi` },
        { run: `cp -p ${shell(site.mailboxList)} ${place}` },
        { run: `ls -l ${place}` },
      ];
  const owner = `${live.user}:${live.group}`;
  lines.push(`It must belong to ${owner}; if it does not: \`chown ${shell(owner)}\` on it.`);
  if (textList !== undefined)
    lines.push(
      "The same list as text, to look names up, and for `ctl_mboxlist -u` should the database be damaged:",
      `  ${textList}`,
    );
  return { title: "Put the list in its place.", lines };
}
