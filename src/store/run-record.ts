/** The sealed JSON files of runs and deletion: small, bounded, every field checked. Format: docs/formats/repository.md. */
import type { Backend } from "../backend/backend.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import type { Sealer } from "./sealer.ts";

export const RUNS_PREFIX = "runs/";
const RUN_BYTES_MAX = 65_536;
/** Of what stands in runs/ and gc/. */
export const RECORD_FORMAT = 1;
/** Twelve heartbeats missed. */
const STALE_AFTER_MS = 3_600_000;

export interface RunRecord {
  readonly run: string;
  readonly server: string;
  readonly host: string;
  readonly pid: number;
  readonly startedMs: number;
  readonly heartbeatMs: number;
  /** The newest record in gc/ when the run started, 0 for none. */
  readonly gcSeen: number;
  readonly parent: string | undefined;
}

export function runName(run: string): string {
  return RUNS_PREFIX + run;
}

export function sealRun(sealer: Sealer, record: RunRecord): Buffer {
  const json = JSON.stringify({ format: RECORD_FORMAT, ...record, parent: record.parent ?? null });
  return sealer.sealNamed("run", runName(record.run), Buffer.from(json, "utf8"));
}

/** @returns undefined: no such run. @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export async function readRun(backend: Backend, sealer: Sealer, run: string): Promise<RunRecord | undefined> {
  const name = runName(run);
  const sealed = await backend.read(name, RUN_BYTES_MAX);
  if (sealed === undefined) return undefined;
  const record = new RecordReader(sealer.openNamed("run", name, sealed), name);
  return {
    run,
    server: record.text("server"),
    host: record.text("host"),
    pid: record.count("pid"),
    startedMs: record.count("startedMs"),
    heartbeatMs: record.count("heartbeatMs"),
    gcSeen: record.count("gcSeen"),
    parent: record.optionalText("parent"),
  };
}

/** Whether it has stopped without taking its leave: long silent, or a process of this host that is no more. */
export function isStaleRun(
  record: RunRecord,
  nowMs: number,
  here: { readonly host: string; readonly isAlive: (pid: number) => boolean },
): boolean {
  if (nowMs - record.heartbeatMs > STALE_AFTER_MS) return true;
  return record.host === here.host && !here.isAlive(record.pid);
}

/** This machine, for `isStaleRun`. */
export function isHere(host: string): { readonly host: string; readonly isAlive: (pid: number) => boolean } {
  return {
    host,
    isAlive: (pid) => {
      try {
        process.kill(pid, 0);
        return true;
      } catch (error) {
        return systemCode(error) !== "ESRCH";
      }
    },
  };
}

export class RecordReader {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #what: string;

  constructor(bytes: Buffer, what: string) {
    this.#what = what;
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString("utf8"));
    } catch (cause) {
      throw new CyrvaultError("REPOSITORY_DAMAGED", `${what}: not JSON`, { cause });
    }
    if (typeof value !== "object" || value === null) throw this.#damaged("it");
    this.#fields = value as Record<string, unknown>;
    if (this.#fields["format"] !== RECORD_FORMAT)
      throw new CyrvaultError(
        "REPOSITORY_VERSION",
        `${what}: not of a format this version of cyrvault knows`,
      );
  }

  text(field: string): string {
    const value = this.#fields[field];
    if (typeof value !== "string") throw this.#damaged(field);
    return value;
  }

  optionalText(field: string): string | undefined {
    return this.#fields[field] === null ? undefined : this.text(field);
  }

  count(field: string): number {
    const value = this.#fields[field];
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw this.#damaged(field);
    return value;
  }

  texts(field: string, pattern: RegExp): string[] {
    const value = this.#fields[field];
    if (!Array.isArray(value)) throw this.#damaged(field);
    for (const item of value) if (typeof item !== "string" || !pattern.test(item)) throw this.#damaged(field);
    return value as string[];
  }

  #damaged(field: string): CyrvaultError {
    return new CyrvaultError("REPOSITORY_DAMAGED", `${this.#what}: ${field} is not what it should be`);
  }
}
