/** Which runs have stopped without taking their leave. Whoever is wrong about one stops it; nothing is lost by that. */
import { isProcessAlive } from "../base/processes.ts";
import type { RunRecord } from "./run-record.ts";

/** Twelve heartbeats missed. */
const STALE_AFTER_MS = 3_600_000;

/** A machine and what is at work on it. */
export interface Here {
  readonly host: string;
  /** @param process - which one it was, as `processMark` says; undefined: only the number is known. */
  readonly isAlive: (pid: number, process: string | undefined) => boolean;
}

/** Why a run counts as stopped; undefined: it does not. */
export function staleReason(record: RunRecord, nowMs: number, here: Here): string | undefined {
  if (record.host === here.host && !here.isAlive(record.pid, record.process))
    return `process ${record.pid} is no more`;
  const silentMs = nowMs - record.heartbeatMs;
  if (silentMs > STALE_AFTER_MS) return `it has been silent for ${Math.round(silentMs / 60_000)} minutes`;
  // Neither clock can be believed then: a run that is alive says so again within minutes.
  if (silentMs < -STALE_AFTER_MS) return "it is dated in the future";
  return undefined;
}

export function isStaleRun(record: RunRecord, nowMs: number, here: Here): boolean {
  return staleReason(record, nowMs, here) !== undefined;
}

/** This machine. */
export function isHere(host: string): Here {
  return { host, isAlive: isProcessAlive };
}
