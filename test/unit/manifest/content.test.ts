import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  contentEquals,
  contentIds,
  contentSize,
  readContent,
  storeContent,
} from "../../../src/manifest/content.ts";
import { idKey } from "../../../src/store/object.ts";
import { collect, contents, MemoryPages } from "./support.ts";

const chunkLists = fc.array(
  fc
    .tuple(fc.nat(255), fc.oneof(fc.nat(20), fc.constantFrom(0, 511, 512, 513, 5000)))
    .map(([value, length]) => new Uint8Array(length).fill(value)),
  { maxLength: 100, size: "max" },
);

describe("storeContent() and readContent()", () => {
  test("give back the bytes, whatever way they were cut", async () => {
    await fc.assert(
      fc.asyncProperty(chunkLists, async (chunks) => {
        const pages = new MemoryPages();
        const content = await storeContent(chunks, pages);
        const bytes = Buffer.concat(chunks);
        expect(Buffer.compare(Buffer.concat(await collect(readContent(content, pages))), bytes)).toBe(0);
        expect(contentSize(content)).toBe(bytes.length);
        const full = chunks.filter((chunk) => chunk.length > 0).length;
        expect(content.form).toBe(bytes.length <= 512 ? "inline" : full <= 64 ? "objects" : "list");
        const ids = (await collect(contentIds(content, pages))).map(idKey);
        expect(new Set(ids)).toEqual(new Set(pages.objects.keys()));
      }),
      { numRuns: 100 },
    );
  });

  test("take chunks that come one by one", async () => {
    const pages = new MemoryPages();
    async function* chunks() {
      yield new Uint8Array(300).fill(1);
      await Promise.resolve();
      yield new Uint8Array(300).fill(2);
    }
    const content = await storeContent(chunks(), pages);
    expect(content).toMatchObject({ form: "objects", size: 600 });
    expect(contentEquals(content, await storeContent(chunks(), pages))).toBe(true);
  });

  test.each([-1, 1])("refuse pieces that are %i bytes off the size", async (difference) => {
    const pages = new MemoryPages();
    const content = await storeContent([new Uint8Array(600), new Uint8Array(600).fill(1)], pages);
    if (content.form === "inline") throw new Error("too short for this test");
    const wrong = { ...content, size: content.size + difference };
    await expect(collect(readContent(wrong, pages))).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
  });

  test("refuse a list that is no list of ids", async () => {
    const pages = new MemoryPages();
    const list = await pages.put("meta", new Uint8Array(33));
    await expect(collect(readContent({ form: "list", size: 9, list }, pages))).rejects.toMatchObject({
      code: "REPOSITORY_DAMAGED",
    });
  });
});

test("contentEquals() holds for a value and itself, and not for two that differ", () => {
  fc.assert(
    fc.property(contents, contents, (a, b) => {
      expect(contentEquals(a, structuredClone(a))).toBe(true);
      expect(contentEquals(a, b)).toBe(contentEquals(b, a));
      if (a.form !== b.form || contentSize(a) !== contentSize(b)) expect(contentEquals(a, b)).toBe(false);
    }),
  );
});
