/** What differs between two page trees. Subtrees that both name are skipped unread: the cost is that of the difference. */
import { equalBytes } from "../base/bytes.ts";
import { assert } from "../base/errors.ts";
import type { PageTree } from "./model.ts";
import type { PageCodec, PageKey } from "./page-codec.ts";
import type { PageSource } from "./pages-io.ts";
import { type PageNode, readInnerNode, readLeafNode, topNode } from "./read-page-tree.ts";

export type TreeChange<T> =
  | { readonly change: "added"; readonly after: T }
  | { readonly change: "removed"; readonly before: T }
  | { readonly change: "changed"; readonly before: T; readonly after: T };

/** In key order. Both trees are of the codec's kind and in the same repository. */
export async function* diffPageTrees<T, K extends PageKey>(
  before: PageTree,
  after: PageTree,
  source: PageSource,
  codec: PageCodec<T, K>,
): AsyncGenerator<TreeChange<T>> {
  const old = new Walk(before, source, codec);
  const now = new Walk(after, source, codec);
  for (;;) {
    const a = old.head();
    const b = now.head();
    if (a === undefined && b === undefined) return;
    const order = compareHeads(a, b);
    if (order < 0) {
      if (a?.node === undefined) yield { change: "removed", before: old.take() };
      else await old.open();
    } else if (order > 0) {
      if (b?.node === undefined) yield { change: "added", after: now.take() };
      else await now.open();
    } else if (a?.node !== undefined && b?.node !== undefined) {
      const higher = a.node.height - b.node.height;
      if (higher === 0 && equalBytes(a.node.page, b.node.page)) {
        old.skip();
        now.skip();
        continue;
      }
      if (higher >= 0) await old.open();
      if (higher <= 0) await now.open();
    } else if (a?.node !== undefined) {
      await old.open();
    } else if (b?.node !== undefined) {
      await now.open();
    } else {
      const change = { change: "changed" as const, before: old.take(), after: now.take() };
      if (!equalBytes(codec.encode([change.before]), codec.encode([change.after]))) yield change;
    }
  }
}

/** What comes next: a page not opened yet, or an entry. */
interface Head<K extends PageKey> {
  readonly node: PageNode<K> | undefined;
  /** undefined for a topmost page: it may begin anywhere. */
  readonly key: K | undefined;
}

/** An exhausted side comes last, a topmost page first. */
function compareHeads<K extends PageKey>(a: Head<K> | undefined, b: Head<K> | undefined): number {
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  if (a.key === undefined || b.key === undefined)
    return (a.key === undefined ? 0 : 1) - (b.key === undefined ? 0 : 1);
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

class Walk<T, K extends PageKey> {
  readonly #source: PageSource;
  readonly #codec: PageCodec<T, K>;
  /** The next one last. */
  readonly #nodes: PageNode<K>[];
  #entries: readonly T[] = [];
  #position = 0;

  constructor(tree: PageTree, source: PageSource, codec: PageCodec<T, K>) {
    this.#source = source;
    this.#codec = codec;
    const top = topNode<K>(tree);
    this.#nodes = top === undefined ? [] : [top];
  }

  head(): Head<K> | undefined {
    const entry = this.#entries[this.#position];
    if (entry !== undefined) return { node: undefined, key: this.#codec.key(entry) };
    const node = this.#nodes.at(-1);
    return node === undefined ? undefined : { node, key: node.firstKey };
  }

  /** The entry that `head` stands for. */
  take(): T {
    const entry = this.#entries[this.#position++];
    assert(entry !== undefined, "an entry is taken where one stands");
    return entry;
  }

  /** Leaves out the page that `head` stands for. */
  skip(): PageNode<K> {
    const node = this.#nodes.pop();
    assert(node !== undefined, "a page is skipped where one stands");
    return node;
  }

  /** Reads the page that `head` stands for: what it holds comes next. */
  async open(): Promise<void> {
    const node = this.skip();
    if (node.height > 0) {
      const children = await readInnerNode(node, this.#source, this.#codec);
      for (const child of children.reverse()) this.#nodes.push(child);
      return;
    }
    this.#entries = await readLeafNode(node, this.#source, this.#codec);
    this.#position = 0;
  }
}
