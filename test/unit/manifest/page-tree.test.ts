import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { diffPageTrees } from "../../../src/manifest/diff-page-trees.ts";
import { encodeInnerPage } from "../../../src/manifest/inner-page.ts";
import { messagePages } from "../../../src/manifest/message-page.ts";
import type { MessageEntry, PageTree } from "../../../src/manifest/model.ts";
import type { PageCodec } from "../../../src/manifest/page-codec.ts";
import { EMPTY_TREE, PageTreeWriter } from "../../../src/manifest/page-tree.ts";
import { findInPageTree, pageIds, readPages, readPageTree } from "../../../src/manifest/read-page-tree.ts";
import { idKey } from "../../../src/store/object.ts";
import { collect, MemoryPages, testId, typicalMessage } from "./support.ts";

/** Strings in tiny pages: many levels from few entries. */
const words: PageCodec<ByteString, ByteString> = {
  kind: 0x60,
  what: "word page",
  keys: "string",
  cut: { min: 1, avg: 3, max: 5 },
  key: (word) => word.slice(0, 4) as ByteString,
  weigh: (word) => word.length,
  encode: (entries) => Buffer.from(entries.join("\n"), "latin1"),
  decode: (bytes) => Buffer.from(bytes).toString("latin1").split("\n") as ByteString[],
};

async function write<T, K extends number | ByteString>(
  codec: PageCodec<T, K>,
  pages: MemoryPages,
  entries: Iterable<T>,
): Promise<PageTree> {
  const writer = new PageTreeWriter(codec, pages);
  for (const entry of entries) await writer.add(entry);
  return await writer.finish();
}

const wordLists = fc
  .uniqueArray(
    fc.nat(9999).map((n) => String(n).padStart(4, "0")),
    { maxLength: 300, size: "max" },
  )
  .map((list) => list.sort() as ByteString[]);

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe("a page tree", () => {
  test("gives back what was added, whole and by range", async () => {
    await fc.assert(
      fc.asyncProperty(wordLists, fc.nat(9999), fc.nat(9999), async (list, a, b) => {
        const pages = new MemoryPages();
        const tree = await write(words, pages, list);
        expect(tree.entries).toBe(list.length);
        expect(await collect(readPageTree(tree, pages, words))).toEqual(list);
        const from = fromText(String(a).padStart(4, "0"));
        const to = fromText(String(b).padStart(4, "0"));
        expect(await collect(readPageTree(tree, pages, words, { from, to }))).toEqual(
          list.filter((word) => word >= from && word < to),
        );
        expect(await findInPageTree(tree, from, pages, words)).toBe(list.find((word) => word === from));
      }),
      { numRuns: 100 },
    );
  });

  test("finds an entry by reading one page of each level", async () => {
    const pages = new MemoryPages();
    const tree = await write(messagePages, pages, range(1, 200_001).map(cheapMessage));
    expect(tree.height).toBe(2);
    expect((await findInPageTree(tree, 123_456, pages, messagePages))?.uid).toBe(123_456);
    expect(pages.gets).toBe(3);
    expect(await findInPageTree(tree, 200_001, pages, messagePages)).toBeUndefined();
  });

  test("has no page when it has no entries", async () => {
    const pages = new MemoryPages();
    const tree = await write(words, pages, []);
    expect(tree).toEqual(EMPTY_TREE);
    expect(pages.puts).toBe(0);
    expect(await collect(readPageTree(tree, pages, words))).toEqual([]);
    expect(await findInPageTree(tree, "a" as ByteString, pages, words)).toBeUndefined();
  });

  test("is the same whether entries or whole pages of an earlier tree are added", async () => {
    await fc.assert(
      fc.asyncProperty(wordLists, wordLists, async (before, extra) => {
        const pages = new MemoryPages();
        const old = await write(words, pages, before);
        const after = [...new Set([...before, ...extra])].sort();
        const plain = await write(words, pages, after);
        const writer = new PageTreeWriter(words, pages);
        const rest = extra.filter((word) => !before.includes(word));
        for await (const leaf of readPages(old, pages, words)) {
          const last = leaf.entries.at(-1) as ByteString;
          const within = rest.filter((word) => word < last);
          rest.splice(0, within.length);
          if (within.length === 0) await writer.addPage(leaf);
          else for (const word of [...leaf.entries, ...within].sort()) await writer.add(word);
        }
        for (const word of rest) await writer.add(word);
        expect(await writer.finish()).toEqual(plain);
      }),
      { numRuns: 100 },
    );
  });

  test("taken over page by page is not written again", async () => {
    const pages = new MemoryPages();
    const old = await write(messagePages, pages, range(1, 30_001).map(cheapMessage));
    const writer = new PageTreeWriter(messagePages, pages);
    for await (const leaf of readPages(old, pages, messagePages)) await writer.addPage(leaf);
    expect(await writer.finish()).toEqual(old);
    expect(writer.pagesWritten).toBe(old.height);
  });

  test("can be had of what was added so far, and goes on as if nothing had been", async () => {
    await fc.assert(
      fc.asyncProperty(wordLists, fc.nat(), async (list, seed) => {
        const pages = new MemoryPages();
        const upTo = seed % (list.length + 1);
        const writer = new PageTreeWriter(words, pages);
        for (const word of list.slice(0, upTo)) await writer.add(word);
        const soFar = await writer.snapshot();
        for (const word of list.slice(upTo)) await writer.add(word);
        expect(soFar).toEqual(await write(words, pages, list.slice(0, upTo)));
        expect(await writer.finish()).toEqual(await write(words, pages, list));
      }),
      { numRuns: 100 },
    );
  });

  test("refuses keys that do not ascend, and anything after its end", async () => {
    const writer = new PageTreeWriter(words, new MemoryPages());
    await writer.add("b" as ByteString);
    await expect(writer.add("a" as ByteString)).rejects.toThrow(/ascend/);
    await expect(writer.add("b" as ByteString)).rejects.toThrow(/ascend/);
    await writer.finish();
    await expect(writer.add("c" as ByteString)).rejects.toThrow(/finished/);
    await expect(writer.finish()).rejects.toThrow(/once/);
  });

  test("names all its pages, each once", async () => {
    const pages = new MemoryPages();
    const tree = await write(
      words,
      pages,
      range(1000, 3000).map((n) => String(n) as ByteString),
    );
    const ids = (await collect(pageIds(tree, pages, words))).map(idKey);
    expect(new Set(ids)).toEqual(new Set(pages.objects.keys()));
    expect(ids.length).toBe(pages.objects.size);
  });
});

describe("a change in a long sequence", () => {
  const uids = range(1, 1_000_001).map((n) => n * 2);
  const numbers: PageCodec<number, number> = {
    kind: 0x61,
    what: "number page",
    keys: "uid",
    cut: messagePages.cut,
    key: (n) => n,
    weigh: () => 40,
    encode: (entries) => Buffer.from(Uint32Array.from(entries).buffer),
    decode: (bytes) => [...new Uint32Array(Uint8Array.from(bytes).buffer)],
  };
  const pages = new MemoryPages();
  let before: PageTree = EMPTY_TREE;

  beforeAll(async () => {
    before = await write(numbers, pages, uids);
  });

  test.each([1, 1_234_567, 2_000_001])("at %i of two million touches few pages", async (uid) => {
    pages.added = [];
    const after = await write(
      numbers,
      pages,
      [...uids, uid].sort((a, b) => a - b),
    );
    expect(after.entries).toBe(1_000_001);
    expect(before.height).toBe(2);
    expect(pages.added.length).toBeGreaterThan(before.height);
    expect(pages.added.length).toBeLessThanOrEqual(before.height + 3);
    pages.gets = 0;
    expect(await collect(diffPageTrees(before, after, pages, numbers))).toEqual([
      { change: "added", after: uid },
    ]);
    expect(pages.gets).toBeLessThanOrEqual(12);
  });
});

test("one message appended to a hundred thousand writes at most 150 KB", async () => {
  const pages = new MemoryPages();
  const messages = range(1, 100_001).map(cheapMessage);
  await write(messagePages, pages, messages);
  pages.added = [];
  await write(messagePages, pages, [...messages, cheapMessage(100_001)]);
  const bytes = pages.added.reduce((sum, page) => sum + page.length, 0);
  console.log(`one message appended to 100,000: ${pages.added.length} pages, ${bytes} bytes`);
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(150_000);
});

describe("the difference of two page trees", () => {
  test("is what was added, removed and changed, in key order", async () => {
    const versions = fc.dictionary(
      fc.nat(9999).map((n) => String(n).padStart(4, "0")),
      fc.constantFrom("", "x", "y"),
      { maxKeys: 200, size: "max", noNullPrototype: true },
    );
    await fc.assert(
      fc.asyncProperty(versions, versions, fc.boolean(), async (one, two, related) => {
        const pages = new MemoryPages();
        const other = related ? { ...one, ...Object.fromEntries(Object.entries(two).slice(0, 5)) } : two;
        const list = (of: Record<string, string>) =>
          Object.entries(of)
            .map(([key, value]) => key + value)
            .sort() as ByteString[];
        const a = await write(words, pages, list(one));
        const b = await write(words, pages, list(other));
        const expected = [...new Set([...Object.keys(one), ...Object.keys(other)])]
          .sort()
          .flatMap((key): object[] => {
            const [before, after] = [one[key], other[key]];
            if (before === after) return [];
            if (before === undefined) return [{ change: "added", after: key + after }];
            if (after === undefined) return [{ change: "removed", before: key + before }];
            return [{ change: "changed", before: key + before, after: key + after }];
          });
        expect(await collect(diffPageTrees(a, b, pages, words))).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });

  test("skips what both share, also when one has grown higher", async () => {
    const pages = new MemoryPages();
    const list = range(1000, 9000).map((n) => String(n) as ByteString);
    const small = await write(words, pages, list.slice(0, 80));
    const shared = pages.objects.size;
    const large = await write(words, pages, list);
    const own = pages.objects.size - shared;
    expect(large.height).toBeGreaterThan(small.height);
    pages.gets = 0;
    expect(await collect(diffPageTrees(small, large, pages, words))).toHaveLength(7920);
    expect(pages.gets).toBeLessThan(own + 10);
    expect(shared).toBeGreaterThan(20);
  });

  test("reads nothing when there is none", async () => {
    const pages = new MemoryPages();
    const tree = await write(messagePages, pages, range(1, 5000).map(cheapMessage));
    expect(await collect(diffPageTrees(tree, { ...tree }, pages, messagePages))).toEqual([]);
    expect(pages.gets).toBe(0);
  });
});

describe("a damaged page tree is refused:", () => {
  const id = testId("leaf");
  const leaf = (from: number, to: number): MessageEntry[] => range(from, to).map(typicalMessage);

  async function readWith(
    children: { firstKey: number; entries: number; uids: [number, number] }[],
    tree: Partial<PageTree> = {},
    level = 1,
  ): Promise<MessageEntry[]> {
    const pages = new MemoryPages();
    const nodes = [];
    for (const { firstKey, entries, uids } of children)
      nodes.push({
        firstKey,
        entries,
        page: await pages.put("manifest", messagePages.encode(leaf(...uids))),
      });
    const page = await pages.put("manifest", encodeInnerPage(messagePages, level, nodes));
    const entries = children.reduce((sum, child) => sum + child.entries, 0);
    return collect(readPageTree({ page, height: 1, entries, ...tree }, pages, messagePages));
  }

  const good = [
    { firstKey: 1, entries: 4, uids: [1, 5] as [number, number] },
    { firstKey: 5, entries: 2, uids: [5, 7] as [number, number] },
  ];

  test("(a whole one is not)", async () => {
    expect((await readWith(good)).map((entry) => entry.uid)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test.each([
    ["another first key", [{ firstKey: 1, entries: 2, uids: [2, 4] as [number, number] }], {}, 1],
    ["fewer entries than said", [{ firstKey: 1, entries: 5, uids: [1, 5] as [number, number] }], {}, 1],
    [
      "keys beyond the next page's",
      [
        { firstKey: 1, entries: 8, uids: [1, 9] as [number, number] },
        { firstKey: 5, entries: 2, uids: [5, 7] as [number, number] },
      ],
      {},
      1,
    ],
    ["a total that is not the sum", good, { entries: 7 }, 1],
    ["a level that does not fit", good, {}, 2],
    ["an inner page where a leaf should be", good, { height: 0 }, 1],
    ["a height beyond all bounds", good, { height: 9 }, 1],
    ["entries without a page", good, { page: undefined }, 1],
  ])("%s", async (_what, children, tree, level) => {
    await expect(readWith(children, tree, level)).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
  });

  test("a leaf where an inner page should be", async () => {
    const pages = new MemoryPages();
    const page = await pages.put("manifest", messagePages.encode(leaf(1, 5)));
    await expect(
      collect(readPageTree({ page, height: 1, entries: 4 }, pages, messagePages)),
    ).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
  });

  test("inner pages whose keys do not ascend are never written", () => {
    const child = { firstKey: 5, page: id, entries: 1 };
    expect(() => encodeInnerPage(messagePages, 1, [child, child])).toThrow(/ascend/);
  });
});

/** As typical, without a hash for each. */
function cheapMessage(uid: number): MessageEntry {
  const object = testIdFrom(uid);
  return {
    ...template,
    uid,
    object,
    inode: 1000 + uid * 3,
    mtimeNs: BigInt(1_700_000_000 + uid * 60) * 1_000_000_000n,
  };
}

const template = typicalMessage(1);

function testIdFrom(n: number): MessageEntry["object"] {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes as MessageEntry["object"];
}
