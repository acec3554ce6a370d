/** A backup's work with the view that it reads: taken before, given back after, whatever comes in between. */
import { hostname } from "node:os";
import type { BackupOptions } from "../backup/options.ts";
import type { SourceCut } from "../backup/source-cut.ts";
import { requireNoOtherBackup } from "../backup/start-backup.ts";
import { CyrvaultError } from "../base/errors.ts";
import { normalPriority } from "../base/posix-priority.ts";
import { type ViewReport, withView } from "../snapshot/take-view.ts";
import type { Repository } from "../store/repository.ts";
import { isHere } from "../store/stale-run.ts";
import { humanDuration } from "./humanise.ts";
import { applyPriority, type NeighbourGiven } from "./neighbour-options.ts";
import type { Session } from "./session.ts";
import { recoverViews, type SnapshotGiven, viewInput } from "./snapshot-options.ts";

export interface CutParts {
  /** Where the server lies now. */
  readonly source: Pick<BackupOptions, "root" | "mappings">;
  readonly cut: SourceCut;
  readonly signal: AbortSignal;
}

export interface CutResult<T> {
  readonly result: T;
  /** undefined: it did not come so far as to be asked. */
  readonly view: ViewReport | undefined;
  /** Something is still held. */
  readonly problem: CyrvaultError | undefined;
}

/** @param server - as its backups are kept under. */
export async function withCut<T>(
  session: Session,
  given: SnapshotGiven & NeighbourGiven,
  options: BackupOptions,
  server: string,
  repository: Repository,
  use: (parts: CutParts) => Promise<T>,
): Promise<CutResult<T>> {
  const { clock, log } = session;
  const input = viewInput(session, given, options, server, repository.backend.properties.localDirectory);
  const isNothingHeld = input.provider.name === "none" && input.quiesce.name === "none";
  if (isNothingHeld) await recoverViews(session, given);
  // Before anything is stopped or taken for a run that could not begin.
  else await requireNoOtherBackup(server, { repository, clock, here: isHere(hostname()) });
  const hurry = listenForHurry(() => {
    if (!isNothingHeld) log.warning("giving back what is held of this machine first");
  });
  let report: ViewReport | undefined;
  try {
    const { result, problem } = await withView({ ...input, hurry: hurry.signal }, async (held) => {
      applyPriority(given, log);
      try {
        return await use({
          source: { root: held.view.root, mappings: held.view.mappings },
          cut: {
            cutMs: held.view.cutMs,
            letGo: held.letGo,
            finish: async (roots) => {
              report = await held.finish(roots);
              const { snapshot, consistency, findings } = report;
              return { view: { kind: snapshot, consistency }, findings };
            },
          },
          signal: held.signal,
        });
      } finally {
        // What is started now may serve people for years: Cyrus.
        if (!isNothingHeld) normalPriority();
      }
    });
    return { result, view: report, problem };
  } finally {
    hurry.end();
  }
}

/** The second SIGINT or SIGTERM: the first has asked the work to stop at a good place. */
function listenForHurry(onHurry: () => void): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  let count = 0;
  const onSignal = () => {
    count++;
    if (count < 2) return;
    onHurry();
    controller.abort(
      new CyrvaultError("INTERRUPTED", "interrupted twice: not waited for the backup to stop"),
    );
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    signal: controller.signal,
    end: () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}

/** Its shape is the interface of `--json`. */
export function viewObject(view: ViewReport | undefined): object | null {
  if (view === undefined) return null;
  const { snapshot, quiesce, consistency, heldMs, cutMs } = view;
  return {
    snapshot,
    quiesce,
    consistency,
    heldMs,
    downtimeSeconds: quiesce === "stop" ? heldMs / 1000 : 0,
    cut: cutMs === undefined ? null : new Date(cutMs).toISOString(),
  };
}

/** Nothing where there was nothing to take. */
export function viewLines({ snapshot, quiesce, consistency, heldMs }: ViewReport): string[] {
  if (snapshot === "none" && quiesce === "none") return [];
  const held = heldMs === 0 ? "" : `; Cyrus was held for ${humanDuration(heldMs)}`;
  return [`  ${consistency}${held}`];
}
