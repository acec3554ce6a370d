/** The blocks that the messages of a window need, each once. */
import type { OpenedPack } from "../../store/pack-reader.ts";
import type { TaskBlock } from "./task.ts";

export class BlockTable {
  readonly #blocks: TaskBlock[] = [];
  /** By pack, then by block: the position here. */
  readonly #packs = new Map<string, { readonly order: number; readonly positions: Map<number, number> }>();
  readonly #orders: number[] = [];

  /** @param hex - of the pack's id. @returns its position. */
  take(hex: string, pack: OpenedPack, number: number): number {
    let known = this.#packs.get(hex);
    if (known === undefined) {
      known = { order: this.#packs.size, positions: new Map() };
      this.#packs.set(hex, known);
    }
    const position = known.positions.get(number);
    if (position !== undefined) return position;
    const { packId, directory } = pack;
    const headerBytes = directory.blocksStart;
    const next = this.#blocks.push({ packId, headerBytes, number, place: directory.blockAt(number) }) - 1;
    known.positions.set(number, next);
    this.#orders.push(known.order);
    return next;
  }

  at(position: number): TaskBlock {
    const block = this.#blocks[position];
    if (block === undefined) throw new RangeError(`no block ${position} of ${this.#blocks.length}`);
    return block;
  }

  /** A number for its pack, in the order in which packs were first met. */
  pack(position: number): number {
    return this.#orders[position] as number;
  }

  /** By pack, as they were first met, then as they lie in it. */
  compare(a: number, b: number): number {
    const byPack = this.pack(a) - this.pack(b);
    return byPack !== 0 ? byPack : this.at(a).number - this.at(b).number;
  }
}
