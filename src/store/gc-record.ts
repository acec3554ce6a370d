/** What deletion has done so far, as far as readers and writers must know. Format: docs/formats/repository.md. */
import type { Backend } from "../backend/backend.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { BACKUPS_PREFIX } from "./backup-files.ts";
import { RECORD_FORMAT, RecordReader, type RunRecord, runName } from "./run-record.ts";
import type { Sealer } from "./sealer.ts";

export const GC_PREFIX = "gc/";
const GC_BYTES_MAX = 256 * 1024 * 1024;
const KINDS = ["mark", "unmark", "sweep", "fence"] as const;

export type GcKind = (typeof KINDS)[number];

export interface GcRecord {
  /** From 1. */
  readonly number: number;
  readonly kind: GcKind;
  readonly atMs: number;
  /** Hex. */
  readonly packs: readonly string[];
  readonly runs: readonly string[];
  /** Of a fence: backups that these runs had not made when they were fenced. Whatever appears under such a name is void. */
  readonly voided?: readonly string[];
}

export interface GcMark {
  /** Of the record. */
  readonly number: number;
  readonly atMs: number;
}

export interface GcState {
  /** 0: none. */
  readonly newest: number;
  /** Hex of packs that may be read, but count as absent for deduplication: marked ones, and swept ones that are still there. */
  readonly marked: ReadonlySet<string>;
  /** Of those that are marked and not swept: by which record. */
  readonly marks: ReadonlyMap<string, GcMark>;
  /** Their files are to be removed, or have been. */
  readonly swept: ReadonlySet<string>;
  /** Backups that don't count: of fenced runs that died before they could withdraw them. */
  readonly voided: ReadonlySet<string>;
}

export function gcName(number: number): string {
  return `${GC_PREFIX}${String(number).padStart(8, "0")}`;
}

/** @throws {CyrvaultError} `NAME_EXISTS`: somebody else has written this number. */
export async function createGcRecord(backend: Backend, sealer: Sealer, record: GcRecord): Promise<void> {
  const name = gcName(record.number);
  const json = Buffer.from(JSON.stringify({ format: RECORD_FORMAT, ...record }), "utf8");
  await backend.create(name, sealer.sealNamed("gc", name, json));
}

/** The records with numbers above `after`, ascending. @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export async function* readGcRecords(backend: Backend, sealer: Sealer, after = 0): AsyncGenerator<GcRecord> {
  const numbers: number[] = [];
  for await (const { name } of backend.list(GC_PREFIX)) {
    const match = /^gc\/([0-9]{8})$/.exec(name);
    if (match !== null && Number(match[1]) > after) numbers.push(Number(match[1]));
  }
  for (const number of numbers.sort((a, b) => a - b)) {
    const name = gcName(number);
    const sealed = await backend.read(name, GC_BYTES_MAX);
    if (sealed === undefined) continue;
    const record = new RecordReader(sealer.openNamed("gc", name, sealed), name);
    const kind = KINDS.find((known) => known === record.text("kind"));
    if (kind === undefined || record.count("number") !== number)
      throw new CyrvaultError("REPOSITORY_DAMAGED", `${name}: not a record of deletion`);
    yield {
      number,
      kind,
      atMs: record.count("atMs"),
      packs: record.texts("packs", /^[0-9a-f]{64}$/),
      runs: record.texts("runs", /^[0-9A-Za-z-]+$/),
      voided: record.absentTexts("voided", /^[0-9A-Za-z-]+$/),
    };
  }
}

export async function readGcState(backend: Backend, sealer: Sealer): Promise<GcState> {
  const marked = new Set<string>();
  const marks = new Map<string, GcMark>();
  const swept = new Set<string>();
  const all = new Set<string>();
  let newest = 0;
  for await (const { number, kind, atMs, packs, voided = [] } of readGcRecords(backend, sealer)) {
    newest = number;
    for (const backup of voided) all.add(backup);
    for (const pack of packs) {
      if (kind === "mark") {
        marked.add(pack);
        marks.set(pack, { number, atMs });
      } else if (kind === "unmark") {
        marked.delete(pack);
        marks.delete(pack);
        swept.delete(pack);
      } else if (kind === "sweep") {
        // Whoever starts before the file has gone must not rely on it.
        marked.add(pack);
        marks.delete(pack);
        swept.add(pack);
      }
    }
  }
  return { newest, marked, marks, swept, voided: all };
}

/**
 * Writes the next record. Numbers make an order that all agree on: who finds his number taken reads what stands there.
 * @param onOthers - given each record that somebody else wrote since `newest`; throws to give up.
 * @returns its number.
 */
export async function appendGcRecord(
  { backend, sealer }: { readonly backend: Backend; readonly sealer: Sealer },
  newest: number,
  record: Omit<GcRecord, "number">,
  onOthers: (record: GcRecord) => void = () => {},
): Promise<number> {
  for (let seen = newest; ; ) {
    for await (const other of readGcRecords(backend, sealer, seen)) {
      onOthers(other);
      seen = other.number;
    }
    try {
      await createGcRecord(backend, sealer, { number: seen + 1, ...record });
      return seen + 1;
    } catch (error) {
      if (!isCyrvaultError(error, "NAME_EXISTS")) throw error;
    }
  }
}

/**
 * After this has resolved none of these runs can commit. The record comes first: it stays when the removal fails. A run
 * that is alive all the same may be just about to make its backup, and may die before it withdraws it: such a backup is
 * void from the start, which a second record says.
 * @returns the number of the last record.
 */
export async function fenceRuns(
  place: { readonly backend: Backend; readonly sealer: Sealer },
  newest: number,
  fenced: readonly Pick<RunRecord, "run" | "backup">[],
  nowMs: number,
  onOthers?: (record: GcRecord) => void,
): Promise<number> {
  const record = { kind: "fence", atMs: nowMs, packs: [], runs: fenced.map(({ run }) => run) } as const;
  const number = await appendGcRecord(place, newest, record, onOthers);
  const voided: string[] = [];
  for (const { run, backup } of fenced) {
    await place.backend.remove(runName(run));
    if (backup !== undefined && (await place.backend.size(BACKUPS_PREFIX + backup)) === undefined)
      voided.push(backup);
  }
  if (voided.length === 0) return number;
  return await appendGcRecord(place, number, { ...record, voided }, onOthers);
}
