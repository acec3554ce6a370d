/** The blocks that the messages of a window need, each once. */
import type { OpenedPack } from "../../store/pack-reader.ts";
import type { TaskBlock } from "./task.ts";

/**
 * Blocks with messages come before those with nothing but their parts: what a message waits with until its last part is
 * open are then its head and tail, a few KB, and not its attachments.
 */
export const PHASES = ["messages", "parts"] as const;
export type Phase = (typeof PHASES)[number];

export class BlockTable {
  readonly #blocks: TaskBlock[] = [];
  /** By pack, then by block: the position here. */
  readonly #packs = new Map<string, { readonly order: number; readonly positions: Map<number, number> }>();
  readonly #orders: number[] = [];
  readonly #phases: Phase[] = [];

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
    this.#phases.push(directory.holdsMessages(number) ? "messages" : "parts");
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

  phase(position: number): Phase {
    return this.#phases[position] as Phase;
  }

  /** By phase, by pack, as they were first met, then as they lie in it. */
  compare(a: number, b: number): number {
    const byPhase = PHASES.indexOf(this.phase(a)) - PHASES.indexOf(this.phase(b));
    if (byPhase !== 0) return byPhase;
    const byPack = this.pack(a) - this.pack(b);
    return byPack !== 0 ? byPack : this.at(a).number - this.at(b).number;
  }
}
