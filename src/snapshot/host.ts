/** The machine, for whoever takes a view of it: what it shows, and commands that change it. Tests make it up. */
import type { HostFacts } from "../source/host/host-facts.ts";

export interface CommandResult {
  /** undefined: it could not be started (`reason` says why), was killed, or took too long. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** Of what did not end by itself, for a person. */
  readonly reason: string | undefined;
  /** It goes on, and nobody waits for it any more. */
  readonly isLeft?: boolean;
}

export interface CommandOptions {
  /** Killed then. */
  readonly timeoutMs?: number;
  /** Ended then, with all that it has started. */
  readonly signal?: AbortSignal | undefined;
  /** Asked whenever so much time has gone by: whether what it was to do is done, so that it may go on by itself. */
  readonly mayGoOn?: { readonly isEnough: () => boolean; readonly everyMs: number };
  readonly environment?: Readonly<Record<string, string>>;
}

export interface SnapshotHost {
  /** Looked at anew by each call. */
  facts(): HostFacts;
  /** Never through a shell. Answers whatever happens; it is for the caller to say what a failure means. */
  run(argv: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  sleep(ms: number): Promise<void>;
  /** For what the journal tells apart. */
  nowMs(): number;
}
