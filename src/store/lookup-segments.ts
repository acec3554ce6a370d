/** The segments of a repository: opened, those in use told from replaced and damaged ones. */
import type { Backend } from "../backend/backend.ts";
import { toHex } from "../base/bytes.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { Cache } from "./cache.ts";
import type { Sealer } from "./sealer.ts";
import { type PageCache, Segment } from "./segment.ts";
import { parseSegmentName, SEGMENTS_PREFIX, type SegmentId, segmentName } from "./segment-format.ts";

/** Segments that are opened at once. */
const BATCH = 8;

export class LookupSegments {
  readonly #backend: Backend;
  readonly #sealer: Sealer;
  readonly #log: Logger;
  readonly #pages: PageCache;
  /** Replaced whole, never changed: who goes through them keeps what it began with. */
  #current: readonly Segment[] = [];
  readonly #damaged = new Map<string, SegmentId>();
  /** Still there, although one that is in use replaces them: left over from a merge that broke off. */
  #superseded: readonly string[] = [];

  constructor(parts: { backend: Backend; sealer: Sealer; log: Logger; pageBytesMax: number }) {
    this.#backend = parts.backend;
    this.#sealer = parts.sealer;
    this.#log = parts.log;
    this.#pages = new Cache(parts.pageBytesMax, (page) => page.length);
  }

  get current(): readonly Segment[] {
    return this.#current;
  }

  /** Ids of those that are not used because of what is in them. */
  get damaged(): readonly SegmentId[] {
    return [...this.#damaged.values()];
  }

  /** Those that are there and not known to be damaged. */
  async list(): Promise<SegmentId[]> {
    const ids: SegmentId[] = [];
    for await (const { name } of this.#backend.list(SEGMENTS_PREFIX)) {
      const id = parseSegmentName(name);
      if (id !== undefined && !this.#damaged.has(name)) ids.push(id);
    }
    return ids;
  }

  /** Uses these from now on. @returns false: one of them has gone, and nothing has changed. */
  async use(ids: readonly SegmentId[]): Promise<boolean> {
    const open = new Map(this.#current.map((segment) => [segment.name, segment]));
    const segments: Segment[] = [];
    let hasGone = false;
    const take = async (id: SegmentId): Promise<void> => {
      try {
        const segment =
          open.get(segmentName(id)) ?? (await Segment.open(this.#backend, this.#sealer, id, this.#pages));
        if (segment === undefined) hasGone = true;
        else segments.push(segment);
      } catch (error) {
        if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
        this.#noteDamage(segmentName(id), id, error.message);
      }
    };
    for (let at = 0; at < ids.length; at += BATCH) await Promise.all(ids.slice(at, at + BATCH).map(take));
    if (hasGone) return false;
    const replaced = new Set<string>();
    for (const segment of segments) for (const id of segment.replaces) replaced.add(toHex(id));
    this.#current = segments.filter(({ id }) => !replaced.has(toHex(id)));
    this.#superseded = segments.filter(({ id }) => replaced.has(toHex(id))).map(({ name }) => name);
    return true;
  }

  /** One that has just been written. @param instead - of these, which are then removed by `tidy`. */
  async add(id: SegmentId, instead: readonly Segment[] = []): Promise<void> {
    const segment = await Segment.open(this.#backend, this.#sealer, id, this.#pages);
    if (segment === undefined) throw new CyrvaultError("IO", "a segment just written is not there");
    this.#current = [...this.#current.filter((other) => !instead.includes(other)), segment];
    this.#superseded = [...this.#superseded, ...instead.map(({ name }) => name)];
  }

  /** The one that an error of reading says is damaged. */
  blamedBy(error: unknown): Segment | undefined {
    const name = isCyrvaultError(error, "REPOSITORY_DAMAGED") ? error.context["segment"] : undefined;
    return this.#current.find((segment) => segment.name === name);
  }

  doWithout(segment: Segment): void {
    this.#current = this.#current.filter((other) => other !== segment);
    this.#noteDamage(segment.name, segment.id, "a page does not open");
  }

  /** Takes back `doWithout`. */
  putBack(segment: Segment): void {
    this.#damaged.delete(segment.name);
    this.#current = [...this.#current, segment];
  }

  /** None is in use any more; all of them are to be replaced, also those that were to go anyway: they must not come back. */
  forget(): void {
    for (const segment of this.#current) this.#damaged.set(segment.name, segment.id);
    for (const name of this.#superseded) {
      const id = parseSegmentName(name);
      if (id !== undefined) this.#damaged.set(name, id);
    }
    this.#current = [];
    this.#superseded = [];
  }

  /** Removes what others replace. */
  async tidy(): Promise<void> {
    for (const name of this.#superseded) await this.#backend.remove(name);
    this.#superseded = [];
  }

  /** Removes the damaged ones: only when all that they cover is covered by others. */
  async removeDamaged(): Promise<void> {
    for (const name of [...this.#damaged.keys()]) {
      await this.#backend.remove(name);
      this.#damaged.delete(name);
    }
  }

  #noteDamage(name: string, id: SegmentId, reason: string): void {
    this.#damaged.set(name, id);
    this.#log.warning("a segment is damaged: its packs are read instead", { segment: name, reason });
  }
}
