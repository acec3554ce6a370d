/** Whether a server can be read while it runs: our locks must be Cyrus's kind, and be taken as Cyrus's own user. */
import type { ByteString } from "../../base/byte-string.ts";
import { CyrvaultError } from "../../base/errors.ts";
import type { PosixCapabilities } from "../../base/posix.ts";
import type { Identity } from "../../base/posix-identity.ts";
import type { HostFacts, HostProcess } from "../host/host-facts.ts";
import { cyrusProcesses, runningMasters } from "../host/running-master.ts";
import { isWithin } from "../view.ts";
import type { HeldLock } from "./lock-table.ts";

export interface ReadinessInput {
  readonly facts: Pick<HostFacts, "processes" | "uid" | "openFiles" | "stat">;
  readonly capabilities: Pick<PosixCapabilities, "ofdLocks" | "reason">;
  /** undefined: the system does not tell. */
  readonly locks: readonly HeldLock[] | undefined;
  /** Of the configdirectory. */
  readonly owner: Identity;
  /** Where Cyrus's files lie, real paths. */
  readonly places: readonly ByteString[];
}

/** @throws {CyrvaultError} `USAGE`: not here, or not so. */
export function requireLiveReadiness(input: ReadinessInput): void {
  const problem = liveProblem(input);
  if (problem !== undefined)
    throw new CyrvaultError("USAGE", `--mode live: ${problem.why}`, { hint: problem.hint });
}

function liveProblem(input: ReadinessInput): { readonly why: string; readonly hint: string } | undefined {
  const { facts, capabilities, owner } = input;
  const otherwise = "take a snapshot (--snapshot), or stop Cyrus (--quiesce stop)";
  if (!capabilities.ofdLocks)
    return { why: `this machine gives no file locks: ${capabilities.reason ?? "unknown"}`, hint: otherwise };
  if (owner.uid === 0)
    return {
      why: "the configdirectory belongs to root, as whom no lock of Cyrus may be taken",
      hint: otherwise,
    };
  if (facts.uid !== 0 && facts.uid !== owner.uid)
    return {
      why: `locks are taken as user ${owner.uid}, to whom the configdirectory belongs, and you are ${facts.uid}`,
      hint: "run it as that user, or as root",
    };
  const foreign = foreignLock(input);
  if (foreign !== undefined)
    return {
      why: `Cyrus (process ${foreign}) locks with flock, which does not see our locks, nor we its`,
      hint: otherwise,
    };
  return undefined;
}

/** A master locks its pid file as long as it runs, by the same functions as all of Cyrus. */
function foreignLock({ facts, locks, owner, places }: ReadinessInput): number | undefined {
  const masters = runningMasters(facts.processes);
  const family = new Map(
    cyrusProcesses(facts.processes, masters, owner.uid).map((one): [number, HostProcess] => [one.pid, one]),
  );
  for (const { kind, pid, inode } of locks ?? []) {
    if (kind !== "FLOCK" || !family.has(pid)) continue;
    if (masters.some((master) => master.pid === pid)) return pid;
    const isOnCyrus = (facts.openFiles(pid) ?? []).some(
      (path) => places.some((place) => isWithin(path, place)) && facts.stat(path)?.inode === inode,
    );
    if (isOnCyrus) return pid;
  }
  return undefined;
}
