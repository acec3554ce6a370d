/**
 * Writes a long sorted sequence as a tree of pages that backups share: docs/formats/manifest.md, section 2.
 * An insertion into a million entries makes one or two new leaves and one page of each level above.
 *
 * Reading: read-page-tree.ts. Comparing: diff-page-trees.ts.
 */
import { assert } from "../base/errors.ts";
import type { ObjectId } from "../store/object.ts";
import { MAX_TREE_HEIGHT } from "./content-encoding.ts";
import { cutsBefore, INNER_CUT } from "./cut.ts";
import { type ChildPage, encodeInnerPage } from "./inner-page.ts";
import type { PageTree } from "./model.ts";
import type { PageCodec, PageKey } from "./page-codec.ts";
import type { PageSink } from "./pages-io.ts";

export const EMPTY_TREE: PageTree = { page: undefined, height: 0, entries: 0 };

/** Whoever adds entries is behind whoever reads them by the mailboxes under way, at most a page or two. */
const EXISTING_MAX = 8;

/** A leaf as `readPages` yields it. `entries` is never empty. */
export interface LeafPage<T> {
  readonly page: ObjectId;
  readonly entries: readonly T[];
}

/** One writer, one tree. Calls may not overlap. Holds one page of each level, nothing more. */
export class PageTreeWriter<T, K extends PageKey> {
  readonly #codec: PageCodec<T, K>;
  readonly #sink: PageSink;
  #leaf: T[] = [];
  #leafWeight = 0;
  /** Pages that exist, by their first entry: the last few that were made known. */
  readonly #existing = new Map<T, LeafPage<T>>();
  #lastKey: K | undefined;
  #entries = 0;
  #pagesWritten = 0;
  /** #levels[0] is the open page right above the leaves. */
  readonly #levels: InnerLevel<K>[] = [];
  #finished = false;
  #closing: Promise<void> | undefined;
  #result: Promise<PageTree> | undefined;

  constructor(codec: PageCodec<T, K>, sink: PageSink) {
    this.#codec = codec;
    this.#sink = sink;
  }

  /** Pages handed to the sink so far; those taken over whole are not among them. */
  get pagesWritten(): number {
    return this.#pagesWritten;
  }

  /** Keys must ascend strictly: anything else is an assertion. */
  async add(entry: T): Promise<void> {
    const key = this.#nextKey(entry);
    if (cutsBefore(key, 0, this.#codec.cut, this.#leaf.length, this.#leafWeight)) {
      this.#closing = this.#closeLeaf();
      await this.#closing;
      this.#closing = undefined;
    }
    this.#push(entry);
  }

  /**
   * A page of an earlier tree, whose entries are about to be added. Where the new tree would have the very same page
   * (these entries, the same values in memory, and no other) it is neither encoded nor put again: the caller answers
   * for its still being in the repository. Only the last few pages made known are remembered.
   */
  know(leaf: LeafPage<T>): void {
    const first = leaf.entries[0];
    assert(first !== undefined, "a page has at least one entry");
    this.#existing.set(first, leaf);
    if (this.#existing.size <= EXISTING_MAX) return;
    const [oldest] = this.#existing.keys();
    if (oldest !== undefined) this.#existing.delete(oldest);
  }

  /** Makes the page known, and adds all its entries. */
  async addPage(leaf: LeafPage<T>): Promise<void> {
    this.know(leaf);
    for (const entry of leaf.entries) await this.add(entry);
  }

  /**
   * The tree of what has been added so far, stored whole; the writer goes on as if nothing had been. The one call
   * that may overlap with others.
   * @param further - entries that the tree has besides, ascending, for an unfinished writer only. Of those, what has
   *   been added meanwhile, or lies before it, is passed over.
   */
  async snapshot(further: Iterable<T> = []): Promise<PageTree> {
    if (this.#result !== undefined) return await this.#result;
    // Between two pages the writer's state is in pieces.
    while (this.#closing !== undefined) await this.#closing;
    const copy = new PageTreeWriter(this.#codec, this.#sink);
    copy.#leaf = [...this.#leaf];
    for (const [first, leaf] of this.#existing) copy.#existing.set(first, leaf);
    copy.#entries = this.#entries;
    copy.#leafWeight = this.#leafWeight;
    copy.#lastKey = this.#lastKey;
    for (const { children, closedSome } of this.#levels)
      copy.#levels.push({ children: [...children], closedSome });
    const addedLast = copy.#lastKey;
    for (const entry of further)
      if (addedLast === undefined || this.#codec.key(entry) > addedLast) await copy.add(entry);
    return await copy.finish();
  }

  async finish(): Promise<PageTree> {
    assert(!this.#finished, "a page tree is finished once");
    this.#finished = true;
    this.#result = this.#finish();
    return await this.#result;
  }

  async #finish(): Promise<PageTree> {
    if (this.#entries === 0) return EMPTY_TREE;
    await this.#closeLeaf();
    for (let height = 1; ; height++) {
      const level = this.#levels[height - 1];
      assert(level !== undefined, "every closed page stands in the level above it");
      const [only, second] = level.children;
      if (!level.closedSome && only !== undefined && second === undefined)
        return { page: only.page, height: height - 1, entries: this.#entries };
      await this.#closeInner(height);
    }
  }

  #nextKey(entry: T): K {
    assert(!this.#finished, "nothing is added to a finished page tree");
    const key = this.#codec.key(entry);
    assert(this.#lastKey === undefined || key > this.#lastKey, "the keys of a page tree ascend");
    this.#lastKey = key;
    return key;
  }

  #push(entry: T): void {
    this.#leaf.push(entry);
    this.#leafWeight += this.#codec.weigh(entry);
    this.#entries++;
  }

  async #closeLeaf(): Promise<void> {
    const first = this.#leaf[0];
    assert(first !== undefined, "a leaf is closed when it has entries");
    const page = this.#existingPage(first) ?? (await this.#put(this.#codec.encode(this.#leaf)));
    const child = { firstKey: this.#codec.key(first), page, entries: this.#leaf.length };
    this.#leaf = [];
    this.#leafWeight = 0;
    await this.#addChild(1, child);
  }

  /** The page that has the entries of the open leaf and no others. */
  #existingPage(first: T): ObjectId | undefined {
    const existing = this.#existing.get(first);
    if (existing === undefined || existing.entries.length !== this.#leaf.length) return undefined;
    return existing.entries.every((entry, i) => entry === this.#leaf[i]) ? existing.page : undefined;
  }

  async #addChild(height: number, child: ChildPage<K>): Promise<void> {
    assert(height <= MAX_TREE_HEIGHT, "a page tree has at most 8 inner levels");
    let level = this.#levels[height - 1];
    if (level === undefined) {
      level = { children: [], closedSome: false };
      this.#levels.push(level);
    }
    if (cutsBefore(child.firstKey, height, INNER_CUT, level.children.length, 0))
      await this.#closeInner(height);
    level.children.push(child);
  }

  async #closeInner(height: number): Promise<void> {
    const level = this.#levels[height - 1];
    const first = level?.children[0];
    assert(level !== undefined && first !== undefined, "an inner page is closed when it has entries");
    const page = await this.#put(encodeInnerPage(this.#codec, height, level.children));
    const entries = level.children.reduce((sum, child) => sum + child.entries, 0);
    level.children = [];
    level.closedSome = true;
    await this.#addChild(height + 1, { firstKey: first.firstKey, page, entries });
  }

  #put(bytes: Uint8Array): Promise<ObjectId> {
    this.#pagesWritten++;
    // Pages by UID belong to one mailbox, and are read if it has changed. The others are read by every run.
    return this.#sink.put("manifest", bytes, this.#codec.keys === "uid" ? "mailbox" : "page");
  }
}

interface InnerLevel<K extends PageKey> {
  children: ChildPage<K>[];
  closedSome: boolean;
}
