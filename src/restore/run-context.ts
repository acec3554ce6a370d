/** What a restore is given besides its plan, and what its parts share while it is under way. */
import type { Clock } from "../base/clock.ts";
import type { Progress } from "../base/progress.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import type { ObjectId } from "../store/object.ts";
import type { RestoreAccount } from "./account.ts";
import type { RestoreWorkers } from "./messages/restore-messages.ts";
import type { Owners } from "./owners.ts";
import type { PreparedRestore } from "./plan.ts";
import type { Restored } from "./runbook-for.ts";
import type { Existing } from "./write-file.ts";

export interface RestoreSource extends PageSource {
  /** A message's bytes in order; ends with an error if they are not what the id says. */
  stream(kind: "message", id: ObjectId): AsyncIterable<Uint8Array>;
}

export interface RestoreContext {
  readonly source: RestoreSource;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** undefined: one message after the other, in this thread. */
  readonly workers?: RestoreWorkers;
  /** Made at the end, for the case that this restore is. */
  readonly runbook?: (restored: Restored) => string;
}

export interface RestoreUnderWay {
  readonly prepared: PreparedRestore;
  readonly context: RestoreContext;
  readonly account: RestoreAccount;
  readonly owners: Owners;
  /** What becomes of files that are there already. */
  readonly existing: Existing;
}
