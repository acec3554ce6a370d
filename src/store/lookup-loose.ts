/** Packs that no segment covers, with the entries of all of them in memory. */
import type { Backend } from "../backend/backend.ts";
import type { PackSlot } from "./lookup-packs.ts";
import { LookupTable } from "./lookup-table.ts";
import type { PackDirectory } from "./pack-directory.ts";
import type { PackKind } from "./pack-types.ts";
import type { Sealer } from "./sealer.ts";
import type { SegmentId } from "./segment-format.ts";
import { SegmentWriter, type WrittenSegment } from "./segment-writer.ts";

export class LoosePacks {
  readonly #table = new LookupTable();
  readonly #packs = new Map<number, PackSlot>();

  get entries(): number {
    return this.#table.size;
  }

  get isEmpty(): boolean {
    return this.#packs.size === 0;
  }

  has(pack: PackSlot): boolean {
    return this.#packs.has(pack.slot);
  }

  /** The pack counts as live from now on. */
  add(pack: PackSlot, packKind: PackKind, directory: PackDirectory): void {
    pack.live = true;
    pack.packKind = packKind;
    pack.objects = directory.objectCount;
    this.#packs.set(pack.slot, pack);
    for (let ordinal = 0; ordinal < directory.objectCount; ordinal++)
      this.#table.add(directory.idAt(ordinal), pack.slot, ordinal);
  }

  addAll(other: LoosePacks): void {
    for (const [slot, pack] of other.#packs) this.#packs.set(slot, pack);
    for (const { bytes, offset, first, second } of other.#table.sorted())
      this.#table.add(bytes.subarray(offset), first, second);
  }

  /** Places in live packs. */
  *find(id: Uint8Array): Generator<{ readonly pack: PackSlot; readonly ordinal: number }> {
    const table = this.#table;
    for (let at = table.find(id); at >= 0; at = table.findNext(id, at)) {
      const pack = this.#packs.get(table.firstAt(at)) as PackSlot;
      if (pack.live) yield { pack, ordinal: table.secondAt(at) };
    }
  }

  /** In ascending order of prefixes; good until the next change. */
  *sorted(): Generator<{ bytes: Buffer; offset: number; pack: PackSlot; ordinal: number }> {
    for (const { bytes, offset, first, second } of this.#table.sorted())
      yield { bytes, offset, pack: this.#packs.get(first) as PackSlot, ordinal: second };
  }

  /** Makes a segment of all of it; the packs must not change meanwhile. */
  async write(backend: Backend, sealer: Sealer, replaces: readonly SegmentId[]): Promise<WrittenSegment> {
    const slots = [...this.#packs.keys()].sort((a, b) => a - b);
    const positions = new Map(slots.map((slot, position) => [slot, position]));
    const packs = slots.map((slot) => {
      const { packId, packKind, objects } = this.#packs.get(slot) as PackSlot;
      return { packId, packKind: packKind as PackKind, objects };
    });
    const writer = await SegmentWriter.begin(backend, sealer, { packs, replaces });
    try {
      for (const { bytes, offset, first, second } of this.#table.sorted()) {
        const written = writer.add(bytes, offset, positions.get(first) as number, second);
        if (written !== undefined) await written;
      }
      return await writer.finish();
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }
}
