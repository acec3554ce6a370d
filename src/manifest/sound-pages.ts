/**
 * Page trees of a backup, read as far as they are sound: a damaged page costs what it names, not the rest.
 */
import { type CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { PageTree } from "./model.ts";
import type { PageCodec, PageKey } from "./page-codec.ts";
import type { PageSource } from "./pages-io.ts";
import { type PageNode, readInnerNode, readLeafNode, topNode } from "./read-page-tree.ts";

export interface LostPage<K extends PageKey> {
  /** How many entries it and the pages below it had. */
  readonly entries: number;
  /** The key of the first of them, where that is known. */
  readonly firstKey: K | undefined;
  /** The key of the first entry behind them, where that is known. */
  readonly before: K | undefined;
  readonly reason: string;
}

/** All entries in key order, without those of pages that cannot be read. */
export async function* soundEntries<T, K extends PageKey>(
  tree: PageTree,
  source: PageSource,
  codec: PageCodec<T, K>,
  onLost: (lost: LostPage<K>) => void,
): AsyncGenerator<T> {
  const top = topNode<K>(tree);
  const waiting = top === undefined ? [] : [top];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    let entries: T[] = [];
    try {
      if (node.height > 0)
        for (const child of (await readInnerNode(node, source, codec)).reverse()) waiting.push(child);
      else entries = await readLeafNode(node, source, codec);
    } catch (error) {
      onLost(lostPage(node, error));
    }
    yield* entries;
  }
}

/** What is damaged or missing in the repository costs a file or a page, and not what goes on. */
export function isLost(error: unknown): error is CyrvaultError {
  return isCyrvaultError(error, "REPOSITORY_DAMAGED") || isCyrvaultError(error, "OBJECT_MISSING");
}

function lostPage<K extends PageKey>(node: PageNode<K>, error: unknown): LostPage<K> {
  if (!isLost(error)) throw error;
  const { entries, firstKey, before } = node;
  return { entries, firstKey, before, reason: error.message };
}
