/**
 * Tries again what failed for a reason that may pass. The difficulty is an answer that was lost: the call failed,
 * but its effect is there.
 *
 * create: when the name turns out to hold exactly these bytes, it is ours (or equal to ours); since a failed
 *   attempt promises nothing about durability, `replace` by the same bytes makes sure of it.
 * commit: writers finish what is left to do when they are asked again.
 * append: is not tried again; how much of it arrived is not known.
 * remove: asks first whether it is there; what has gone after a failed attempt counts as removed by it.
 * list: begins again and leaves out what it has already yielded.
 */
import type { Clock } from "../base/clock.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { causeCode } from "../base/io-error.ts";
import type { Backend, BackendFile, BackendWriter } from "./backend.ts";

/** Everything else (no permission, read-only, not a directory) will fail the same way again. */
const TRANSIENT: ReadonlySet<string> = new Set(
  (
    "EIO EAGAIN EBUSY EINTR ESTALE ETIMEDOUT EMFILE ENFILE ENOBUFS ENOMEM EPIPE ECONNRESET ECONNREFUSED " +
    "ECONNABORTED ENOTCONN ENETDOWN ENETUNREACH ENETRESET EHOSTDOWN EHOSTUNREACH EAI_AGAIN ENOTFOUND EREMOTEIO"
  ).split(" "),
);

export interface RetryOptions {
  readonly clock: Clock;
  /** Calls in all, the first included. */
  readonly attempts?: number;
  /** Before the second attempt; doubles from there, up to `delayMaxMs`. */
  readonly delayMs?: number;
  readonly delayMaxMs?: number;
  /** 0 to 1: each delay is shortened by up to a half, so that many clients do not come back at once. */
  readonly random?: () => number;
}

export function isTransient(error: unknown): boolean {
  return isCyrvaultError(error, "IO") && TRANSIENT.has(causeCode(error) ?? "");
}

export function retry(inner: Backend, options: RetryOptions): Backend {
  const { clock, attempts = 5, delayMs = 250, delayMaxMs = 10_000, random = Math.random } = options;

  /** Waits, or throws `error` when there is no sense in another attempt. @param attempt - the failed one, from 1. */
  async function pause(attempt: number, error: unknown): Promise<void> {
    if (attempt >= attempts || !isTransient(error)) throw error;
    const full = Math.min(delayMaxMs, delayMs * 2 ** (attempt - 1));
    await clock.sleep(full * (1 - random() / 2));
  }

  async function again<T>(call: (attempt: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call(attempt);
      } catch (error) {
        await pause(attempt, error);
      }
    }
  }

  async function create(name: string, bytes: Uint8Array): Promise<void> {
    await again(async (attempt) => {
      const ours = attempt > 1 && (await again(() => holds(inner, name, bytes)));
      await (ours ? again(() => inner.replace(name, bytes)) : inner.create(name, bytes));
    });
  }

  async function* list(prefix: string): AsyncGenerator<BackendFile, void, undefined> {
    const seen = new Set<string>();
    for (let attempt = 1; ; attempt++) {
      try {
        for await (const file of inner.list(prefix)) {
          if (seen.has(file.name)) continue;
          seen.add(file.name);
          yield file;
        }
        return;
      } catch (error) {
        await pause(attempt, error);
      }
    }
  }

  async function remove(name: string): Promise<boolean> {
    const there = (await again(() => inner.size(name))) !== undefined;
    return await again(async (attempt) => (await inner.remove(name)) || (there && attempt > 1));
  }

  const withRetriedCommit = (writer: BackendWriter): BackendWriter => ({
    append: (bytes) => writer.append(bytes),
    commit: () => again(() => writer.commit()),
    abort: () => writer.abort(),
  });

  return {
    properties: inner.properties,
    create,
    begin: async (name) => withRetriedCommit(await again(() => inner.begin(name))),
    replace: (name, bytes) => again(() => inner.replace(name, bytes)),
    read: (name, maxBytes) => again(() => inner.read(name, maxBytes)),
    readRange: (name, offset, length) => again(() => inner.readRange(name, offset, length)),
    size: (name) => again(() => inner.size(name)),
    list,
    remove,
    close: () => inner.close(),
  };
}

async function holds(backend: Backend, name: string, bytes: Uint8Array): Promise<boolean> {
  if ((await backend.size(name)) !== bytes.length) return false;
  const there = await backend.read(name, bytes.length);
  return there !== undefined && Buffer.compare(there, bytes) === 0;
}
