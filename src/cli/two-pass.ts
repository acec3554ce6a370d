/** `backup --mode two-pass`: most is read while mail flows, and Cyrus stands still only for what has changed since. */
import { type FirstPassResult, runFirstPass } from "../backup/first-pass.ts";
import type { BackupOptions } from "../backup/options.ts";
import type { BackupContext } from "../backup/run-context.ts";
import { CyrvaultError } from "../base/errors.ts";
import { normalPriority } from "../base/posix-priority.ts";
import { planView } from "../snapshot/take-view.ts";
import type { Repository } from "../store/repository.ts";
import { counted, humanBytes, humanDuration } from "./humanise.ts";
import { applyPriority, type NeighbourGiven } from "./neighbour-options.ts";
import type { Session } from "./session.ts";
import { recoverViews, type SnapshotGiven, viewInput } from "./snapshot-options.ts";
import { type CutParts, type CutResult, withCut } from "./with-cut.ts";

/** Its shape is the interface of `--json`. */
export type FirstPassReport = FirstPassResult;

type Given = SnapshotGiven & NeighbourGiven;

/** The second pass is of a server at rest: it is stopped where nothing else was asked for. */
export function forTwoPasses<T extends SnapshotGiven>(given: T): T {
  const isNothing = (given.snapshot ?? "none") === "none" && (given.quiesce ?? "none") === "none";
  return isNothing ? { ...given, quiesce: "stop" } : given;
}

/** @param make - the second pass. @throws {CyrvaultError} `USAGE` where it cannot be. */
export async function withTwoPasses<T>(
  parts: readonly [
    session: Session,
    given: Given,
    options: BackupOptions,
    server: string,
    repository: Repository,
  ],
  context: Omit<BackupContext, "cut" | "live" | "onCommitted" | "signal">,
  make: (parts: CutParts) => Promise<T>,
): Promise<CutResult<T> & { readonly firstPass: FirstPassReport }> {
  const [session, given, options, server, repository] = parts;
  if (options.root !== "/" || options.mappings.length > 0) {
    throw new CyrvaultError(
      "USAGE",
      "--mode two-pass reads the running server itself, and --root or --map name another place",
      { hint: "leave them out, or leave out --mode two-pass" },
    );
  }
  if (!repository.remembers) {
    throw new CyrvaultError(
      "KEY_WRITE_ONLY",
      "--mode two-pass takes over what its first pass has stored, which this key may not read",
      { hint: "use a key that may read, or --snapshot" },
    );
  }
  // What an earlier run has left stopped must not wait for an hour of reading; nor must what cannot work.
  await recoverViews(session, given);
  await planView(viewInput(session, given, options, server, repository.backend.properties.localDirectory));
  const { signal, log } = session;
  applyPriority(given, log);
  const firstPass = await session.withProgress(() =>
    runFirstPass({ ...options, server }, { ...context, signal }),
  );
  // Whatever is started and stopped now may take it over from us.
  normalPriority();
  log.info("the first pass is done: now the second one, of the server at rest", {
    mailboxes: firstPass.mailboxes,
    messagesRead: firstPass.messages.read,
    seconds: firstPass.seconds,
  });
  const cut = await withCut(session, given, options, server, repository, make);
  return { ...cut, firstPass };
}

export function passLines({ messages, bytes, seconds }: FirstPassReport): string[] {
  return [
    `  before that, while mail flowed: ${counted(messages.read, "message")} and ${humanBytes(bytes.read)} read in ${humanDuration(seconds * 1000)}`,
  ];
}
