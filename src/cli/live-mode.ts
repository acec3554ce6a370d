/** `backup --mode live`: the server goes on, and we take its locks. */
import type { LiveRound, LiveSource } from "../backup/live-rounds.ts";
import type { MailboxPlace } from "../backup/mailbox-places.ts";
import type { BackupOptions } from "../backup/options.ts";
import { CyrvaultError } from "../base/errors.ts";
import { posixCapabilities } from "../base/posix.ts";
import { liveHost } from "../source/host/live-host.ts";
import { removeCopiesOfTheDead } from "../source/live/copies.ts";
import { LiveHolder } from "../source/live/live-holder.ts";
import { readLockTable } from "../source/live/lock-table.ts";
import type { LockTimes } from "../source/live/lock-times.ts";
import { LockedReader } from "../source/live/locked-reader.ts";
import { requireLiveReadiness } from "../source/live/readiness.ts";
import { lstatSource } from "../source/read-file.ts";
import { describeServer } from "../source/server.ts";
import { SourceView } from "../source/view.ts";
import type { Repository } from "../store/repository.ts";
import { counted } from "./humanise.ts";
import type { Session } from "./session.ts";
import { recoverViews, type SnapshotGiven } from "./snapshot-options.ts";

/** Its shape is the interface of `--json`. */
export interface LiveReport {
  readonly rounds: number;
  readonly consistency: string;
  readonly locks: LockTimes;
}

export interface LiveParts {
  readonly live: LiveSource;
  readonly signal: AbortSignal;
}

/** @throws {CyrvaultError} `USAGE`: what does not go with it. */
export function requireLiveUsage(
  given: SnapshotGiven & { readonly root: string; readonly map?: readonly string[] },
): void {
  if (given.root !== "/" || given.map !== undefined)
    throw new CyrvaultError(
      "USAGE",
      "--mode live reads the running server itself, and --root or --map name another place",
      { hint: "leave them out, or leave out --mode live" },
    );
  if ((given.snapshot ?? "none") !== "none" || (given.quiesce ?? "none") !== "none")
    throw new CyrvaultError("USAGE", "--mode live takes no snapshot and stops nothing", {
      hint: "leave out --snapshot and --quiesce, or --mode live",
    });
}

/** @throws {CyrvaultError} `USAGE` where it cannot be. */
export async function withLive<T>(
  session: Session,
  given: SnapshotGiven,
  options: BackupOptions,
  repository: Repository,
  use: (parts: LiveParts) => Promise<T>,
): Promise<{ readonly result: T; readonly live: LiveReport }> {
  const { root, mappings, config, includes, withSearch } = options;
  const view = new SourceView(root, mappings);
  const { layout, roots } = describeServer({ view, config, includes, withSearch });
  const configStat = lstatSource(
    view.resolve(layout.configDirectory)?.realPath ?? layout.configDirectory,
  )?.stat;
  const owner = { uid: configStat?.uid ?? 0, gid: configStat?.gid ?? 0 };
  const lockRoot = view.resolve(layout.lockPath)?.realPath ?? layout.lockPath;
  requireLiveReadiness({
    facts: liveHost(),
    capabilities: posixCapabilities(),
    locks: readLockTable(),
    owner,
    places: [...roots.map(({ realPath }) => realPath), lockRoot],
  });
  await recoverViews(session, given);
  removeCopiesOfTheDead();
  const listName = layout.databases.mailboxes.path;
  const listPath = listName === undefined ? undefined : view.resolve(listName)?.realPath;
  const { hashImapSpool, fullDirHash, virtDomains, deletedPrefix } = layout;
  const rules = { hashImapSpool, fullDirHash, virtualDomains: virtDomains !== "off" };
  const reader = new LockedReader({
    ...{ lockRoot, rules, owner },
    onHeld: ({ what, fromMs, ms }) => session.log.debug("locks were held", { what, fromMs, ms }),
  });
  // Files changed in the two seconds before count as changed while we read.
  const startedNs = BigInt(Date.now() - 2000) * 1_000_000n;
  const holder = new LiveHolder(reader, startedNs, listPath === undefined ? [] : [listPath]);
  let rounds = 0;
  let consistency = "";
  const onAchieved = (text: string): void => {
    consistency = text;
  };
  const onRound = ({ round, changed, next }: LiveRound): void => {
    rounds = next === "closing" ? round + 1 : round;
    session.log.info(`round ${round}: ${counted(changed, "mailbox", "mailboxes")} changed meanwhile`, {
      next,
    });
  };
  try {
    const { signal } = session;
    const isYetToCome = ({ directories }: MailboxPlace) =>
      directories.some(({ realPath }) => (lstatSource(realPath)?.stat.ctimeNs ?? startedNs) >= startedNs);
    const live: LiveSource = {
      ...{ reader, holder, deletedPrefix, listPath, isYetToCome, onRound, onAchieved },
      mayRead: repository.mayRead,
    };
    const result = await use({ live, signal });
    return { result, live: { rounds, consistency, locks: reader.times } };
  } finally {
    holder.close();
  }
}

/** Nothing is taken of the machine. */
export function livePlan(): { readonly steps: readonly string[] } {
  return { steps: ["nothing is stopped: each mailbox is read under Cyrus's own locks, for a moment"] };
}

/** What a client may have noticed. */
export function liveLines({ rounds, consistency, locks }: LiveReport): string[] {
  const { taken, busy, longestMs, longestOf, longestWaitMs, givenUp } = locks;
  const lines = [
    `  ${consistency}`,
    `  live, ${counted(rounds, "round")}: ${counted(taken, "lock")}, the longest held ${longestMs.toFixed(1)} ms (${longestOf}); ${busy} times busy, waited ${longestWaitMs.toFixed(0)} ms at most`,
  ];
  return givenUp === 0 ? lines : [...lines, `  ${counted(givenUp, "file")} could not be locked in time`];
}
