/**
 * The object index: a LevelDB from ObjectId to a place in a pack, for whoever gets its lock. It speeds things up and
 * decides nothing: wherever it is lost, locked or damaged, the segments answer. Layout: docs/formats/repository.md.
 */
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { Level } from "level";
import { ByteReader, ByteWriter, toHex } from "../base/bytes.ts";
import { CyrvaultError, isCyrvaultError, systemCode } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { PackDirectory } from "./pack-directory.ts";
import { PACK_ID_BYTES, PACK_OBJECTS_MAX, type PackId } from "./pack-types.ts";
import { PREFIX_BYTES } from "./segment-format.ts";

const ENTRY_TAG = 1;
const PACK_TAG = 2;
const STATE_KEY = Buffer.of(3);
const FORMAT = 0;
const PACK_NUMBERS_MAX = 0xffff_ffff;
/** Entries of one write: half a MB. */
const BATCH_ENTRIES = 16_384;

type Database = Level<Buffer, Buffer>;
type Batch = ReturnType<Database["batch"]>;

export interface IndexEntry {
  /** A pack of this index (`packs`), or a number that means nothing any more. */
  readonly packNumber: number;
  readonly ordinal: number;
}

export class ObjectIndex {
  readonly #database: Database;
  readonly #directory: string;
  readonly #repositoryId: string;
  readonly #packs: Map<string, number>;
  #nextNumber: number;
  #broken = false;

  private constructor(
    database: Database,
    directory: string,
    repositoryId: string,
    packs: Map<string, number>,
    nextNumber: number,
  ) {
    this.#database = database;
    this.#directory = directory;
    this.#repositoryId = repositoryId;
    this.#packs = packs;
    this.#nextNumber = nextNumber;
  }

  /**
   * A damaged database, or another repository's, is moved to `<directory>.damaged` and a new one begun.
   * @returns undefined where there can be none: another process holds it, or nothing can be written there.
   */
  static async open(directory: string, repositoryId: string, log: Logger): Promise<ObjectIndex | undefined> {
    for (let attempt = 0; attempt < 2; attempt++) {
      const database: Database = new Level(directory, {
        keyEncoding: "buffer",
        valueEncoding: "buffer",
        compression: false,
      });
      try {
        await mkdir(dirname(directory), { recursive: true });
        await database.open();
        const loaded = await load(database, repositoryId);
        if (loaded !== undefined)
          return new ObjectIndex(database, directory, repositoryId, loaded.packs, loaded.nextNumber);
        log.warning("the object index is not of this repository: it is begun anew", { directory });
      } catch (error) {
        if (!isDamage(error)) {
          log.debug("the object index cannot be used: segments are", { directory, reason: reasonOf(error) });
          await database.close().catch(() => undefined);
          return undefined;
        }
        log.warning("the object index is damaged: it is begun anew", { directory, reason: reasonOf(error) });
      }
      await database.close().catch(() => undefined);
      if (!(await moveAside(directory))) return undefined;
    }
    return undefined;
  }

  /** Packs all of whose entries are here, by the hex of their ids. */
  get packs(): ReadonlyMap<string, number> {
    return this.#packs;
  }

  /** All at once, one call to the database. @throws {CyrvaultError} `IO`: the index is to be given up. */
  async findMany(ids: readonly Uint8Array[]): Promise<(IndexEntry | undefined)[]> {
    try {
      const values = await this.#database.getMany(ids.map((id) => entryKey(id, 0)));
      return values.map((value) => (value === undefined ? undefined : decodePlace(value)));
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /** The pack must be durable. @throws {CyrvaultError} `IO`: the index is to be given up. */
  async addPack(packId: PackId, directory: PackDirectory): Promise<void> {
    const filler = this.fill([packId]);
    const number = filler.numberOf(packId);
    for (let ordinal = 0; ordinal < directory.objectCount; ordinal++) {
      const written = filler.add(directory.idAt(ordinal), 0, number, ordinal);
      if (written !== undefined) await written;
    }
    await filler.finish();
  }

  /** For the entries of many packs in any order. The packs count as present after `finish`. */
  fill(packIds: readonly PackId[]): IndexFiller {
    const numbers = new Map<string, number>();
    for (const id of packIds) numbers.set(toHex(id), this.#takeNumber());
    let batch: Batch | undefined;
    let count = 0;
    const write = async () => {
      const full = batch;
      batch = undefined;
      count = 0;
      try {
        await full?.write();
      } catch (cause) {
        throw this.#failed(cause);
      }
    };
    const put = (key: Buffer, value: Buffer) => {
      if (batch === undefined) {
        batch = this.#database.batch();
        // With the first entries that bear a new number: after a crash it must not be given to another pack.
        batch.put(STATE_KEY, encodeState(this.#repositoryId, this.#nextNumber));
      }
      batch.put(key, value);
    };
    return {
      numberOf: (packId) => numbers.get(toHex(packId)) as number,
      add: (bytes, offset, packNumber, ordinal) => {
        put(entryKey(bytes, offset), encodePlace(packNumber, ordinal));
        return ++count >= BATCH_ENTRIES ? write() : undefined;
      },
      finish: async () => {
        for (const id of packIds) put(packKey(id), encodeNumber(numbers.get(toHex(id)) as number));
        await write();
        for (const [hex, number] of numbers) this.#packs.set(hex, number);
      },
    };
  }

  /** What these packs' entries say counts as absent from now on. */
  async removePacks(packs: readonly string[]): Promise<void> {
    if (packs.length === 0) return;
    const batch = this.#database.batch();
    for (const hex of packs) {
      this.#packs.delete(hex);
      batch.del(packKey(Buffer.from(hex, "hex")));
    }
    try {
      await batch.write();
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /** Gives the lock back. An index that failed is moved aside, so that the next one to open it begins anew. */
  async close(): Promise<void> {
    await this.#database.close().catch(() => undefined);
    if (this.#broken) await moveAside(this.#directory);
  }

  #takeNumber(): number {
    return this.#nextNumber++;
  }

  #failed(cause: unknown): CyrvaultError {
    if (isDamage(cause)) this.#broken = true;
    return new CyrvaultError("IO", `the object index in ${this.#directory} failed`, { cause });
  }
}

export interface IndexFiller {
  numberOf(packId: PackId): number;
  /** Await the result where there is one. @param offset - where the id begins in `bytes`. */
  add(bytes: Uint8Array, offset: number, packNumber: number, ordinal: number): Promise<void> | undefined;
  finish(): Promise<void>;
}

async function load(
  database: Database,
  repositoryId: string,
): Promise<{ packs: Map<string, number>; nextNumber: number } | undefined> {
  const packs = new Map<string, number>();
  const state = await database.get(STATE_KEY);
  if (state === undefined) {
    for await (const _ of database.keys({ limit: 1 })) return undefined;
    await database.put(STATE_KEY, encodeState(repositoryId, 1));
    return { packs, nextNumber: 1 };
  }
  const nextNumber = decodeState(state, repositoryId);
  if (nextNumber === undefined) return undefined;
  for await (const [key, value] of database.iterator({ gte: Buffer.of(PACK_TAG), lt: STATE_KEY })) {
    if (key.length !== 1 + PACK_ID_BYTES) return undefined;
    const number = new ByteReader(value, "object index").varint(PACK_NUMBERS_MAX);
    if (number >= nextNumber) return undefined;
    packs.set(key.toString("hex", 1), number);
  }
  return { packs, nextNumber };
}

function entryKey(bytes: Uint8Array, offset: number): Buffer {
  const key = Buffer.allocUnsafe(1 + PREFIX_BYTES);
  key[0] = ENTRY_TAG;
  for (let i = 0; i < PREFIX_BYTES; i++) key[1 + i] = bytes[offset + i] as number;
  return key;
}

function packKey(id: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(PACK_TAG), id]);
}

function encodeNumber(number: number): Buffer {
  return new ByteWriter(8).varint(number).toBytes();
}

function encodePlace(packNumber: number, ordinal: number): Buffer {
  return new ByteWriter(10).varint(packNumber).varint(ordinal).toBytes();
}

/** A value that is no place is no answer. */
function decodePlace(value: Buffer): IndexEntry | undefined {
  try {
    const reader = new ByteReader(value, "object index");
    const packNumber = reader.varint(PACK_NUMBERS_MAX);
    const ordinal = reader.varint(PACK_OBJECTS_MAX);
    reader.end();
    return { packNumber, ordinal };
  } catch (error) {
    if (isCyrvaultError(error, "REPOSITORY_DAMAGED")) return undefined;
    throw error;
  }
}

function encodeState(repository: string, next: number): Buffer {
  return Buffer.from(JSON.stringify({ format: FORMAT, repository, next }), "utf8");
}

function decodeState(bytes: Buffer, repositoryId: string): number | undefined {
  let state: unknown;
  try {
    state = JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
  const { format, repository, next } = (state ?? {}) as Record<string, unknown>;
  if (format !== FORMAT || repository !== repositoryId) return undefined;
  return typeof next === "number" && Number.isSafeInteger(next) && next > 0 ? next : undefined;
}

function isDamage(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (isCyrvaultError(cause, "REPOSITORY_DAMAGED")) return true;
    const code = systemCode(cause);
    if (code === "LEVEL_CORRUPTION") return true;
    // What CURRENT or MANIFEST names has gone.
    if (code === "LEVEL_IO_ERROR" && /(MANIFEST|\.ldb|\.sst).*No such file/.test(cause.message)) return true;
  }
  return false;
}

function reasonOf(error: unknown): string {
  let reason = String(error);
  for (let cause = error; cause instanceof Error; cause = cause.cause) reason = cause.message;
  return reason;
}

async function moveAside(directory: string): Promise<boolean> {
  try {
    await rm(`${directory}.damaged`, { recursive: true, force: true });
    await rename(directory, `${directory}.damaged`);
    return true;
  } catch (error) {
    return systemCode(error) === "ENOENT";
  }
}
