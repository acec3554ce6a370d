/** Whether a backup made clients wait: by the locks that it held, and by all else that it does to a machine. */
import type { Stall } from "./machine-pulse.ts";
import type { Operation } from "./mail-traffic.ts";

/** Locks that a backup held, from the first to the end of all; as `--verbose` tells. */
export interface Hold {
  readonly what: string;
  /** Of `Date.now()`. */
  readonly fromMs: number;
  readonly ms: number;
}

/** A stretch of time in which a backup was at work. */
export interface Backup {
  readonly fromMs: number;
  readonly toMs: number;
  readonly holds: readonly Hold[];
}

export interface DelayInput {
  readonly operations: readonly Operation[];
  readonly backups: readonly Backup[];
  /** When clients worked and nothing else did. */
  readonly quiet: readonly { readonly fromMs: number; readonly toMs: number }[];
  readonly stalls: readonly Stall[];
  readonly users: readonly string[];
  readonly patienceMs: number;
}

interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Whoever waits for a lock may not get it in so short a time between two of ours. */
const GAP_MS = 10;

/**
 * A sentence for each answer that took longer than clients are patient because of locks of ours: without them it would
 * not have. A machine that stood still, and took our locks and the client with it, is no excuse.
 */
export function delaysByLocks({ operations, backups, users, patienceMs }: DelayInput): string[] {
  return backups.flatMap(({ fromMs, toMs, holds }) =>
    operations.flatMap((operation) => {
      const ms = operation.toMs - operation.fromMs;
      if (ms <= patienceMs || !overlap(operation, { fromMs, toMs })) return [];
      const concerned = holds.filter(({ what }) => concerns(what, operation.user, users));
      const ours = total(joined(concerned.map(stretchOf)), operation);
      const isOurs = ours > patienceMs || (ours > 0 && ms - ours <= patienceMs);
      return isOurs ? [`${named(operation)} took ${ms} ms, ${Math.round(ours)} of them under our locks`] : [];
    }),
  );
}

/**
 * The same for whatever else a backup does: answers that took longer than any of their kind before and after it, by
 * more than clients are patient, while the machine did not stand still.
 */
export function delaysByWork(input: DelayInput): string[] {
  const { operations, backups, quiet, stalls, patienceMs } = input;
  const usual = new Map<string, number>();
  for (const operation of operations)
    if (quiet.some((one) => one.fromMs <= operation.fromMs && operation.toMs <= one.toMs))
      usual.set(operation.what, Math.max(usual.get(operation.what) ?? 0, operation.toMs - operation.fromMs));
  return operations
    .filter((operation) => backups.some((backup) => overlap(operation, backup)))
    .flatMap((operation) => {
      const without = usual.get(operation.what) ?? 0;
      const ms = operation.toMs - operation.fromMs;
      const more = ms - total(stalls, operation) - without;
      return more > patienceMs ? [`${named(operation)} took ${ms} ms, without a backup ${without} ms`] : [];
    });
}

function named({ what, user }: Operation): string {
  return user === undefined ? what : `${what} of ${user}`;
}

/** A lock that is of another user's alone keeps nobody else waiting. */
function concerns(what: string, user: string | undefined, users: readonly string[]): boolean {
  if (user === undefined || what.includes(user)) return true;
  return !users.some((other) => what.includes(other));
}

function stretchOf({ fromMs, ms }: Hold): Stretch {
  return { fromMs, toMs: fromMs + ms };
}

function joined(stretches: readonly Stretch[]): Stretch[] {
  const result: Stretch[] = [];
  for (const next of stretches.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = result.at(-1);
    if (last === undefined || next.fromMs > last.toMs + GAP_MS) result.push(next);
    else result[result.length - 1] = { fromMs: last.fromMs, toMs: Math.max(last.toMs, next.toMs) };
  }
  return result;
}

/** How much of the stretches lies within; they do not overlap each other. */
function total(stretches: readonly Stretch[], within: Stretch): number {
  return stretches.reduce(
    (sum, { fromMs, toMs }) =>
      sum + Math.max(0, Math.min(toMs, within.toMs) - Math.max(fromMs, within.fromMs)),
    0,
  );
}

function overlap(a: Stretch, b: Stretch): boolean {
  return a.fromMs < b.toMs && b.fromMs < a.toMs;
}
