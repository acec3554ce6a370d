/** A lane of blocks: what it is filled with is compressed and counted, not kept. */
import { CODEC, encodeWith } from "../../src/store/codec.ts";
import type { DirectoryObject } from "../../src/store/pack-directory-writer.ts";
import { cpuSeconds, type LaneCodec, type Variant } from "./variant.ts";

export type SealedObject = DirectoryObject;

export type OnBlock = (
  objects: readonly SealedObject[],
  rawBytes: number,
  storedBytes: number,
  codec: number,
) => void;

export class Lane {
  readonly blocks: { readonly rawBytes: number; readonly storedBytes: number }[] = [];
  storedBytes = 0;
  /** Of processor time spent on compression. */
  seconds = 0;
  readonly #blockBytes: number;
  readonly #layout: Variant["layout"];
  readonly #codec: LaneCodec | undefined;
  readonly #onBlock: OnBlock;
  #heads: Buffer[] = [];
  #tails: Buffer[] = [];
  #objects: SealedObject[] = [];
  #rawBytes = 0;

  /** @param codec - undefined: as it is. */
  constructor(blockBytes: number, layout: Variant["layout"], codec: LaneCodec | undefined, onBlock: OnBlock) {
    this.#blockBytes = blockBytes;
    this.#layout = layout;
    this.#codec = codec;
    this.#onBlock = onBlock;
  }

  /** @returns the number of the block that it goes into. */
  add(object: Omit<SealedObject, "headLength" | "tailLength">, head: Buffer, tail: Buffer): number {
    const bytes = head.length + tail.length;
    if (this.#rawBytes > 0 && this.#rawBytes + bytes > this.#blockBytes) this.close();
    this.#objects.push({ ...object, headLength: head.length, tailLength: tail.length });
    this.#heads.push(Buffer.from(head));
    this.#tails.push(Buffer.from(tail));
    this.#rawBytes += bytes;
    const block = this.blocks.length;
    if (this.#rawBytes >= this.#blockBytes) this.close();
    return block;
  }

  close(): void {
    if (this.#objects.length === 0) return;
    const raw = Buffer.concat(
      this.#layout === "heads first"
        ? [...this.#heads, ...this.#tails]
        : this.#heads.flatMap((head, i) => [head, this.#tails[i] as Buffer]),
    );
    const began = cpuSeconds();
    const packed = this.#codec && encodeWith(CODEC[this.#codec.codec], raw, this.#codec.level);
    this.seconds += cpuSeconds() - began;
    const shrunk = packed !== undefined && packed.length < raw.length;
    const storedBytes = shrunk ? packed.length : raw.length;
    this.blocks.push({ rawBytes: raw.length, storedBytes });
    this.storedBytes += storedBytes;
    this.#onBlock(
      this.#objects,
      raw.length,
      storedBytes,
      shrunk && this.#codec ? CODEC[this.#codec.codec] : 0,
    );
    this.#heads = [];
    this.#tails = [];
    this.#objects = [];
    this.#rawBytes = 0;
  }
}
