/** The sealed JSON files of runs and deletion: small, bounded, every field checked. Format: docs/formats/repository.md. */
import type { Backend } from "../backend/backend.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { Sealer } from "./sealer.ts";

export const RUNS_PREFIX = "runs/";
const RUN_BYTES_MAX = 65_536;
/** Of what stands in runs/ and gc/. */
export const RECORD_FORMAT = 1;
const KINDS: readonly RunKind[] = ["backup", "prune", "undelete"];

/** What a run does. Only one `prune` may be at work; `undelete` brings a backup back, which is its parent. */
export type RunKind = "backup" | "prune" | "undelete";

export interface RunRecord {
  readonly run: string;
  readonly kind: RunKind;
  readonly server: string;
  readonly host: string;
  readonly pid: number;
  readonly startedMs: number;
  readonly heartbeatMs: number;
  /** The newest record in gc/ when the run started, 0 for none. */
  readonly gcSeen: number;
  readonly parent: string | undefined;
  /** Runs whose checkpoints are built upon. */
  readonly checkpoints: readonly string[];
  /** The backup that it will make, if it gets so far. */
  readonly backup: string | undefined;
  /** Which process `pid` was: the same number may be given again. Undefined where the system does not tell. */
  readonly process: string | undefined;
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
    kind: KINDS.find((kind) => kind === record.absentText("kind")) ?? "backup",
    server: record.text("server"),
    host: record.text("host"),
    pid: record.count("pid"),
    startedMs: record.count("startedMs"),
    heartbeatMs: record.count("heartbeatMs"),
    gcSeen: record.count("gcSeen"),
    parent: record.optionalText("parent"),
    checkpoints: record.absentTexts("checkpoints", /^[0-9A-Za-z-]+$/),
    backup: record.absentText("backup"),
    process: record.absentText("process"),
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

  /** Of a field that came later: undefined where it is not there. */
  absentText(field: string): string | undefined {
    return this.#fields[field] === undefined ? undefined : this.text(field);
  }

  absentTexts(field: string, pattern: RegExp): string[] {
    return this.#fields[field] === undefined ? [] : this.texts(field, pattern);
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
