/**
 * What packs would take: they are really made, by the writer that a backup uses, and thrown away. So blocks are laid
 * out, compressed and numbered as in a repository.
 */
import type { Compression } from "../store/codec.ts";
import type { StoredObject } from "../store/object.ts";
import type { BlockLane, PackKind } from "../store/pack-types.ts";
import { PackWriter } from "../store/pack-writer.ts";
import { UNENCRYPTED } from "../store/seal-context.ts";

export interface PackTotals {
  objects: number;
  /** Before compression. */
  rawBytes: number;
  /** Compressed. */
  blockBytes: number;
  /** Headers, directories, footers. */
  frameBytes: number;
  packs: number;
}

export class PackMeter {
  readonly totals: PackTotals = { objects: 0, rawBytes: 0, blockBytes: 0, frameBytes: 0, packs: 0 };
  readonly #options: {
    readonly packKind: PackKind;
    readonly compression: Compression;
    readonly verify: false;
  };
  #writer: PackWriter | undefined;

  constructor(packKind: PackKind, compression: Compression) {
    this.#options = { packKind, compression, verify: false };
  }

  add(object: StoredObject, lane: BlockLane = "text"): void {
    if (this.#writer === undefined) {
      this.#writer = new PackWriter(UNENCRYPTED, this.#options);
      this.totals.frameBytes += this.#writer.header().length;
      this.totals.packs++;
    }
    this.totals.objects++;
    this.totals.rawBytes += object.head.length + object.tail.length;
    this.totals.blockBytes += this.#writer.add(object, lane)?.length ?? 0;
    if (this.#writer.isFull) this.finish();
  }

  /** Ends the pack under way. */
  finish(): void {
    if (this.#writer === undefined) return;
    this.totals.blockBytes += this.#writer.flush()?.length ?? 0;
    this.totals.frameBytes += this.#writer.finish().length;
    this.#writer = undefined;
  }
}
