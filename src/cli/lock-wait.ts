/** `--lock-wait`: for how long a command waits for somebody else before it gives up with exit code 11. */
import { isCyrvaultError } from "../base/errors.ts";
import { parseSpan } from "../retention/parse-rules.ts";
import type { Session } from "./session.ts";

const PAUSE_MS = 5000;

/** @param given - as on the command line; undefined: not at all. */
export function parseLockWait(given: string | undefined): number {
  return given === undefined ? 0 : parseSpan("--lock-wait", given);
}

/** Does it again as long as it answers LOCKED and the time is not over. It must leave nothing behind when it does. */
export async function withLockWait<T>(
  { clock, signal, log }: Pick<Session, "clock" | "signal" | "log">,
  waitMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const began = clock.monotonicMs();
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const left = waitMs - (clock.monotonicMs() - began);
      if (!isCyrvaultError(error, "LOCKED") || left <= 0) throw error;
      if (attempt === 1) log.info(`waiting: ${error.message}`);
      await clock.sleep(Math.min(PAUSE_MS, left), signal);
    }
  }
}
