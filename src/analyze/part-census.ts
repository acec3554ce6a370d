/** One kind of part, counted: how many there are, how many different ones. */
import { estimateDistinct } from "./estimate-distinct.ts";
import { GROUPS, GroupSums } from "./sampling.ts";
import { SeenSet } from "./seen-set.ts";
import { SightingTable } from "./sighting-table.ts";

export interface Amount {
  readonly count: number;
  readonly bytes: number;
}

export class PartCensus {
  readonly #share: number;
  readonly #seen = new SeenSet();
  readonly #sightings: SightingTable | undefined;
  readonly #counts = new GroupSums();
  readonly #bytes = new GroupSums();
  #differentCount = 0;
  #differentBytes = 0;

  /** @param share - of the messages, in which parts are met. */
  constructor(share: number) {
    this.#share = share;
    this.#sightings = share < 1 ? new SightingTable() : undefined;
  }

  /**
   * A part in a message; a message's second part of the same content is not told here.
   * @returns true when its content was not met before.
   */
  add(hash: Buffer, bytes: number, group: number): boolean {
    this.#counts.add(group, 1);
    this.#bytes.add(group, bytes);
    this.#sightings?.add(hash, bytes, group);
    if (!this.#seen.add(hash)) return false;
    this.#differentCount++;
    this.#differentBytes += bytes;
    return true;
  }

  /** In the messages read. */
  met(without = -1): Amount {
    return { count: this.#counts.total(without), bytes: this.#bytes.total(without) };
  }

  /** Of all messages: exact where all were read, else estimated. @param without - a group to leave out. */
  different(without = -1): Amount {
    if (this.#sightings === undefined) return { count: this.#differentCount, bytes: this.#differentBytes };
    const { counts, bytes } = this.#sightings.frequencies(without);
    const share = without < 0 ? this.#share : (this.#share * (GROUPS - 1)) / GROUPS;
    return { count: estimateDistinct(counts, share), bytes: estimateDistinct(bytes, share) };
  }

  /** In the messages read. */
  get differentMet(): Amount {
    return { count: this.#differentCount, bytes: this.#differentBytes };
  }
}
