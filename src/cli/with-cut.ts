/** A backup's work with the view that it reads: taken before, given back after, whatever comes in between. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { BackupOptions } from "../backup/options.ts";
import type { SourceCut } from "../backup/source-cut.ts";
import { requireNoOtherBackup } from "../backup/start-backup.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
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
  await recoverViews(session, given, isNothingHeld ? undefined : server);
  // Before anything is stopped or taken for a run that could not begin.
  if (!isNothingHeld) await requireNoOtherBackup(server, { repository, clock, here: isHere(hostname()) });
  const signals = isNothingHeld ? undefined : new HeldSignals(log);
  let report: ViewReport | undefined;
  try {
    const hurry = signals?.hurry ?? NEVER;
    const signal = AbortSignal.any([input.signal, signals?.hangup ?? NEVER]);
    const { result, problem } = await withView({ ...input, signal, hurry }, async (held) => {
      applyPriority(given, log);
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
    });
    return { result, view: report, problem };
  } finally {
    signals?.end();
  }
}

const NEVER = new AbortController().signal;

/** While something of the machine is held no signal ends us but SIGKILL: the first one has asked the work to stop at a good place. */
class HeldSignals {
  readonly #hurry = new AbortController();
  readonly #hangup = new AbortController();
  readonly #log: Logger;
  readonly #heard: readonly NodeJS.Signals[];
  #count = 0;

  constructor(log: Logger) {
    this.#log = log;
    this.#heard = ["SIGINT", "SIGTERM", "SIGQUIT", ...(isHangupIgnored() ? [] : (["SIGHUP"] as const))];
    for (const name of this.#heard) process.on(name, this.#onSignal);
  }

  /** The second one: whoever reads is not waited for. */
  get hurry(): AbortSignal {
    return this.#hurry.signal;
  }

  /** What nobody else listens for, and would have ended us at once. */
  get hangup(): AbortSignal {
    return this.#hangup.signal;
  }

  end(): void {
    for (const name of this.#heard) process.off(name, this.#onSignal);
  }

  readonly #onSignal = (name: NodeJS.Signals): void => {
    this.#count++;
    if (name === "SIGHUP") this.#hangup.abort(new CyrvaultError("INTERRUPTED", "the terminal has gone"));
    if (name === "SIGQUIT") this.#hangup.abort(new CyrvaultError("INTERRUPTED", "interrupted by SIGQUIT"));
    if (this.#count < 2) return;
    this.#log.warning("giving back what is held of this machine first");
    this.#hurry.abort(
      new CyrvaultError("INTERRUPTED", "interrupted twice: not waited for the backup to stop"),
    );
  };
}

/** Under nohup(1), which a handler would undo. */
function isHangupIgnored(): boolean {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1];
    return mask !== undefined && (BigInt(`0x${mask}`) & 1n) === 1n;
  } catch {
    return false;
  }
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
