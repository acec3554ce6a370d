/**
 * Parts, counted: how many there are, how many different ones. Attachments and long texts are told apart in a
 * sample: the ones circulate, the others hardly do, and an estimate of both together would be far less sure.
 */
import { estimateDistinct } from "./estimate-distinct.ts";
import { GROUPS, GroupSums } from "./sampling.ts";
import { SeenSet } from "./seen-set.ts";
import { SightingTable } from "./sighting-table.ts";

export interface Amount {
  readonly count: number;
  readonly bytes: number;
}

export const PART_KINDS = ["attachment", "text"] as const;
export type PartKind = (typeof PART_KINDS)[number];

export class PartCensus {
  readonly #share: number;
  readonly #seen = new SeenSet();
  readonly #sightings: Readonly<Record<PartKind, SightingTable>> | undefined;
  readonly #counts = new GroupSums();
  readonly #bytes = new GroupSums();
  #differentCount = 0;
  #differentBytes = 0;

  /** @param share - of the messages, in which parts are met. */
  constructor(share: number) {
    this.#share = share;
    this.#sightings = share < 1 ? { attachment: new SightingTable(), text: new SightingTable() } : undefined;
  }

  /**
   * A part in a message; a message's second part of the same content is not told here.
   * @returns true when its content was not met before.
   */
  add(hash: Buffer, bytes: number, group: number, kind: PartKind): boolean {
    this.#counts.add(group, 1);
    this.#bytes.add(group, bytes);
    this.#sightings?.[kind].add(hash, bytes, group);
    if (!this.#seen.add(hash)) return false;
    this.#differentCount++;
    this.#differentBytes += bytes;
    return true;
  }

  /** In the messages read. */
  met(without = -1): Amount {
    return { count: this.#counts.total(without), bytes: this.#bytes.total(without) };
  }

  /**
   * Of all messages: exact where all were read, else estimated.
   * @param kind - alone; in a sample only. @param without - a group of the sample to leave out.
   */
  different(without = -1, kind?: PartKind): Amount {
    if (this.#sightings === undefined) return { count: this.#differentCount, bytes: this.#differentBytes };
    if (kind === undefined) {
      const [one, other] = PART_KINDS.map((each) => this.different(without, each)) as [Amount, Amount];
      return { count: one.count + other.count, bytes: one.bytes + other.bytes };
    }
    const { counts, bytes } = this.#sightings[kind].frequencies(without);
    const share = without < 0 ? this.#share : (this.#share * (GROUPS - 1)) / GROUPS;
    return { count: estimateDistinct(counts, share), bytes: estimateDistinct(bytes, share) };
  }

  /** In the messages read: there are at least as many. */
  get differentMet(): Amount {
    return { count: this.#differentCount, bytes: this.#differentBytes };
  }
}
