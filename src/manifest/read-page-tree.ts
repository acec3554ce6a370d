/**
 * Reads page trees, in key order and as far as asked. Nothing a page says is believed before it is compared with
 * what the page above said of it: anything that doesn't fit is `REPOSITORY_DAMAGED`.
 */
import { toHex } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { ObjectId } from "../store/object.ts";
import { MAX_TREE_HEIGHT } from "./content-encoding.ts";
import { type ChildPage, decodeInnerPage } from "./inner-page.ts";
import type { PageTree } from "./model.ts";
import type { PageCodec, PageKey } from "./page-codec.ts";
import type { LeafPage } from "./page-tree.ts";
import type { PageSource } from "./pages-io.ts";

export interface KeyRange<K extends PageKey> {
  /** The first key wanted. */
  readonly from?: K;
  /** The first key no longer wanted. */
  readonly to?: K;
}

/** A page not read yet, and what is known of it from above. */
export interface PageNode<K extends PageKey> {
  readonly page: ObjectId;
  /** 0: a leaf. */
  readonly height: number;
  readonly entries: number;
  /** undefined for the topmost page. */
  readonly firstKey: K | undefined;
  /** Every key under it is smaller; undefined: nothing is known. */
  readonly before: K | undefined;
}

/** The topmost page, undefined for an empty tree. */
export function topNode<K extends PageKey>(tree: PageTree): PageNode<K> | undefined {
  if (tree.page === undefined) {
    if (tree.entries !== 0) throw damaged("a tree without a page claims entries", { entries: tree.entries });
    return undefined;
  }
  if (tree.height > MAX_TREE_HEIGHT) throw damaged("a tree is too high", { height: tree.height });
  return {
    page: tree.page,
    height: tree.height,
    entries: tree.entries,
    firstKey: undefined,
    before: undefined,
  };
}

/** The pages below an inner page. */
export async function readInnerNode<T, K extends PageKey>(
  node: PageNode<K>,
  source: PageSource,
  codec: PageCodec<T, K>,
): Promise<PageNode<K>[]> {
  const children = decodeInnerPage<K>(codec, node.height, await source.get("manifest", node.page));
  checkKeys(node, children, (child) => child.firstKey);
  let entries = 0;
  for (const child of children) entries += child.entries;
  if (entries !== node.entries) throw notAsSaid(node, `${entries} entries under it`);
  return children.map((child: ChildPage<K>, i) => ({
    page: child.page,
    height: node.height - 1,
    entries: child.entries,
    firstKey: child.firstKey,
    before: children[i + 1]?.firstKey ?? node.before,
  }));
}

export async function readLeafNode<T, K extends PageKey>(
  node: PageNode<K>,
  source: PageSource,
  codec: PageCodec<T, K>,
): Promise<T[]> {
  const entries = codec.decode(await source.get("manifest", node.page));
  if (entries.length !== node.entries) throw notAsSaid(node, `${entries.length} entries`);
  checkKeys(node, entries, codec.key);
  return entries;
}

/** All leaves that hold keys of the range, whole: the first and the last may hold others too. Holds one page of each level. */
export async function* readPages<T, K extends PageKey>(
  tree: PageTree,
  source: PageSource,
  codec: PageCodec<T, K>,
  range: KeyRange<K> = {},
): AsyncGenerator<LeafPage<T>> {
  const top = topNode<K>(tree);
  const waiting = top === undefined ? [] : [top];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (range.to !== undefined && node.firstKey !== undefined && node.firstKey >= range.to) return;
    if (range.from !== undefined && node.before !== undefined && node.before <= range.from) continue;
    if (node.height === 0) yield { page: node.page, entries: await readLeafNode(node, source, codec) };
    else for (const child of (await readInnerNode(node, source, codec)).reverse()) waiting.push(child);
  }
}

/** All entries of the range in key order. */
export async function* readPageTree<T, K extends PageKey>(
  tree: PageTree,
  source: PageSource,
  codec: PageCodec<T, K>,
  range: KeyRange<K> = {},
): AsyncGenerator<T> {
  for await (const leaf of readPages(tree, source, codec, range)) {
    for (const entry of leaf.entries) {
      const key = codec.key(entry);
      if (range.from !== undefined && key < range.from) continue;
      if (range.to !== undefined && key >= range.to) return;
      yield entry;
    }
  }
}

/** One page of each level is read. */
export async function findInPageTree<T, K extends PageKey>(
  tree: PageTree,
  key: K,
  source: PageSource,
  codec: PageCodec<T, K>,
): Promise<T | undefined> {
  for await (const entry of readPageTree(tree, source, codec, { from: key }))
    return codec.key(entry) === key ? entry : undefined;
  return undefined;
}

/** The ids of all pages of a tree, inner ones too: leaves are named, not read. */
export async function* pageIds<T, K extends PageKey>(
  tree: PageTree,
  source: PageSource,
  codec: PageCodec<T, K>,
): AsyncGenerator<ObjectId> {
  const top = topNode<K>(tree);
  const waiting = top === undefined ? [] : [top];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    yield node.page;
    if (node.height > 0) for (const child of await readInnerNode(node, source, codec)) waiting.push(child);
  }
}

/** The decoders see to the order inside a page; here it is held against the pages around it. */
function checkKeys<T, K extends PageKey>(
  node: PageNode<K>,
  entries: readonly T[],
  key: (entry: T) => K,
): void {
  const first = entries[0];
  const last = entries.at(-1);
  if (first === undefined || last === undefined) throw notAsSaid(node, "no entries");
  if (node.firstKey !== undefined && key(first) !== node.firstKey) throw notAsSaid(node, "another first key");
  if (node.before !== undefined && key(last) >= node.before)
    throw notAsSaid(node, "keys beyond the next page's");
}

function notAsSaid<K extends PageKey>(node: PageNode<K>, found: string): CyrvaultError {
  return damaged(`a page is not as the one above it says: it has ${found}`, {
    page: toHex(node.page),
    height: node.height,
    entries: node.entries,
  });
}

function damaged(why: string, context: Record<string, string | number>): CyrvaultError {
  return new CyrvaultError("REPOSITORY_DAMAGED", `manifest pages: ${why}`, { context });
}
