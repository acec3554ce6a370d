/**
 * When the data of each pack was last read and found sound. A memory of checks, nothing else relies on it: lost or
 * damaged it means that nothing has been verified. Format: docs/formats/repository.md.
 */
import type { Backend } from "../backend/backend.ts";
import { ByteReader, ByteWriter, toHex } from "../base/bytes.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { newTimedId, timeOfId } from "../store/backup-files.ts";
import { asPackId, PACK_ID_BYTES, type PackId } from "../store/pack-types.ts";
import type { Repository } from "../store/repository.ts";

export const VERIFIED_PREFIX = "verified-times/";
const PURPOSE = "verified-times";
const FORMAT = 1;
/** Some 1.6 million packs: 50 TiB. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;

type Place = Pick<Repository, "backend" | "sealer" | "requireWritable">;

export class VerifiedTimes {
  readonly #place: Place;
  /** Hex to seconds since the epoch. */
  readonly #times: Map<string, number>;
  /** Files whose content is in here: they go when this is saved. */
  #merged: string[];
  #hasChanged = false;

  private constructor(place: Place, times: Map<string, number>, merged: string[]) {
    this.#place = place;
    this.#times = times;
    this.#merged = merged;
  }

  /** @param onLost - told of a file that cannot be read. */
  static async load(place: Place, onLost: (name: string, reason: string) => void): Promise<VerifiedTimes> {
    const { backend } = place;
    const times = new Map<string, number>();
    const merged: string[] = [];
    for (const name of await namesIn(backend)) {
      try {
        const sealed = await backend.read(name, FILE_BYTES_MAX + 4096);
        if (sealed === undefined) continue;
        for (const [pack, seconds] of decode(place.sealer.openNamed(PURPOSE, name, sealed), name))
          times.set(pack, Math.max(seconds, times.get(pack) ?? 0));
        merged.push(name);
      } catch (error) {
        if (!isCyrvaultError(error)) throw error;
        onLost(name, error.message);
        if (error.code === "REPOSITORY_DAMAGED") merged.push(name);
      }
    }
    return new VerifiedTimes(place, times, merged);
  }

  /** ms since the epoch; undefined: never, or in a future that cannot be. */
  timeOf(packId: PackId, nowMs: number): number | undefined {
    const seconds = this.#times.get(toHex(packId));
    return seconds === undefined || seconds * 1000 > nowMs ? undefined : seconds * 1000;
  }

  note(packId: PackId, nowMs: number): void {
    this.#times.set(toHex(packId), Math.floor(nowMs / 1000));
    this.#hasChanged = true;
  }

  /**
   * A file of its own, so that of two checks at once neither undoes the other; then those that it replaces go.
   * @param isThere - packs that are no more are left out. @returns false: there was nothing to save.
   * @throws {CyrvaultError} as the backend does: on read-only media, without permission.
   */
  async save(nowMs: number, isThere: (packId: PackId) => boolean): Promise<boolean> {
    if (!this.#hasChanged) return false;
    const { backend, sealer } = this.#place;
    this.#place.requireWritable();
    for (const pack of this.#times.keys())
      if (!isThere(asPackId(Buffer.from(pack, "hex")))) this.#times.delete(pack);
    const bytes = encode(this.#times);
    if (bytes.length > FILE_BYTES_MAX)
      throw new CyrvaultError("IO", "there are more packs than can be remembered");
    const name = VERIFIED_PREFIX + newTimedId(nowMs);
    await backend.create(name, sealer.sealNamed(PURPOSE, name, bytes));
    this.#hasChanged = false;
    for (const old of this.#merged) await backend.remove(old);
    this.#merged = [name];
    return true;
  }
}

async function namesIn(backend: Backend): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of backend.list(VERIFIED_PREFIX))
    if (timeOfId(name.slice(VERIFIED_PREFIX.length)) !== undefined) names.push(name);
  return names.sort();
}

function encode(times: ReadonlyMap<string, number>): Buffer {
  const writer = new ByteWriter(64 + times.size * (PACK_ID_BYTES + 5));
  writer.varint(FORMAT).varint(times.size);
  for (const [pack, seconds] of times) writer.raw(Buffer.from(pack, "hex")).varint(seconds);
  return writer.toBytes();
}

function decode(bytes: Buffer, name: string): Map<string, number> {
  const reader = new ByteReader(bytes, name);
  if (reader.varint() !== FORMAT)
    throw new CyrvaultError("REPOSITORY_VERSION", `${name}: not of a format this version of cyrvault knows`);
  const times = new Map<string, number>();
  for (let rest = reader.varint(); rest > 0; rest--) {
    const pack = toHex(reader.raw(PACK_ID_BYTES));
    times.set(pack, reader.varint());
  }
  reader.end();
  return times;
}
