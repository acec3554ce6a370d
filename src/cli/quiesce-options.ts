/** `--quiesce`: what holds Cyrus still while the view is taken. */
import type { Command } from "commander";
import type { ByteString } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { SnapshotHost } from "../snapshot/host.ts";
import type { Provider, Quiesce } from "../snapshot/method.ts";
import { quiesceNone } from "../snapshot/quiesce-none.ts";

export interface QuiesceGiven {
  readonly quiesce?: string;
}

export interface QuiesceParts {
  readonly host: SnapshotHost;
  /** The server's imapd.conf. */
  readonly config: ByteString;
  readonly provider: Provider;
  readonly log: Logger;
}

export function addQuiesceOptions(command: Command): Command {
  return command.option("--quiesce <how>", "what holds Cyrus still while the view is taken: none", "none");
}

/** @throws {CyrvaultError} `USAGE`. */
export function quiesceOf(given: QuiesceGiven, _parts: QuiesceParts): Quiesce {
  if (given.quiesce === undefined || given.quiesce === "none") return quiesceNone;
  throw new CyrvaultError("USAGE", `--quiesce ${given.quiesce}: it is none`);
}
