import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteString } from "../../../src/base/byte-string.ts";
import { filePages } from "../../../src/manifest/file-page.ts";
import { findingPages } from "../../../src/manifest/finding-page.ts";
import { mailboxPages } from "../../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../../src/manifest/message-page.ts";
import type { PageCodec, PageKey } from "../../../src/manifest/page-codec.ts";
import {
  answersOrRefuses,
  fileLists,
  findings,
  mailboxLists,
  messageLists,
  typicalMessage,
} from "./support.ts";

const findingLists = fc
  .uniqueArray(findings, { selector: findingPages.key, minLength: 1, maxLength: 20 })
  .map((entries) => entries.sort((a, b) => (findingPages.key(a) < findingPages.key(b) ? -1 : 1)));

function behavesAsAPage<T, K extends PageKey>(codec: PageCodec<T, K>, lists: fc.Arbitrary<T[]>): void {
  describe(`a ${codec.what}`, () => {
    test("gives back every value it was given", () => {
      fc.assert(
        fc.property(lists, (entries) => {
          expect(codec.decode(codec.encode(entries))).toStrictEqual(entries);
        }),
        { numRuns: 100 },
      );
    });

    test("has the same bytes for the same values", () => {
      fc.assert(
        fc.property(lists, (entries) => {
          const bytes = codec.encode(entries);
          expect(Buffer.compare(codec.encode(codec.decode(bytes)), bytes)).toBe(0);
        }),
        { numRuns: 50 },
      );
    });

    test("refuses each of its own beginnings, and a byte too many", () => {
      fc.assert(
        fc.property(lists, fc.nat(), (entries, seed) => {
          const bytes = codec.encode(entries);
          expect(() => codec.decode(bytes.subarray(0, seed % bytes.length))).toThrow(codec.what);
          expect(() => codec.decode(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(/too many/);
        }),
        { numRuns: 100 },
      );
    });

    test("answers or refuses, whatever has become of its bytes", () => {
      fc.assert(
        fc.property(
          lists,
          fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1 }),
          (entries, changes) => {
            const bytes = Buffer.from(codec.encode(entries));
            for (const [at, value] of changes) bytes[2 + (at % (bytes.length - 2))] = value;
            answersOrRefuses(() => codec.decode(bytes));
          },
        ),
        { numRuns: 300 },
      );
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
          answersOrRefuses(() => codec.decode(noise));
          answersOrRefuses(() => codec.decode(Buffer.concat([Buffer.of(codec.kind, 1), noise])));
        }),
        { numRuns: 500 },
      );
    });

    test("refuses another kind and a version to come", () => {
      fc.assert(
        fc.property(lists, (entries) => {
          const bytes = codec.encode(entries);
          expect(() => codec.decode(Buffer.concat([Buffer.of(9), bytes.subarray(1)]))).toThrow(/kind 9/);
          expect(() => codec.decode(Buffer.concat([bytes.subarray(0, 1), Buffer.of(2)]))).toThrow(
            /version 2/,
          );
        }),
        { numRuns: 5 },
      );
    });

    test("is not made from entries out of order, twice the same, or none", () => {
      fc.assert(
        fc.property(lists, (entries) => {
          expect(() => codec.encode([])).toThrow(/bug/);
          expect(() => codec.encode([...entries, ...entries.slice(-1)])).toThrow(/ascend/);
          if (entries.length > 1) expect(() => codec.encode(entries.toReversed())).toThrow(/ascend/);
        }),
        { numRuns: 20 },
      );
    });
  });
}

behavesAsAPage(messagePages, messageLists);
behavesAsAPage(mailboxPages, mailboxLists);
behavesAsAPage(filePages, fileLists);
behavesAsAPage(findingPages, findingLists);

describe("sizes", () => {
  test("a typical message takes at most 40 bytes before compression", () => {
    const entries = Array.from({ length: 1000 }, (_, i) => typicalMessage(i + 1));
    const each = messagePages.encode(entries).length / entries.length;
    console.log(`a message in a page: ${each.toFixed(2)} bytes`);
    expect(each).toBeLessThanOrEqual(40);
  });

  test("a time in whole seconds takes at most 5 bytes, one with nanoseconds at most 9", () => {
    const base = typicalMessage(1);
    const size = (mtimeNs: bigint) => messagePages.encode([{ ...base, mtimeNs }]).length;
    const none = size(0n) - 1;
    expect(size(1_700_000_000_000_000_000n) - none).toBeLessThanOrEqual(5);
    expect(size(1_700_000_000_123_456_789n) - none).toBeLessThanOrEqual(9);
  });

  test("a page that expands without bounds is refused", () => {
    // One name of 60,000 bytes, then thousands that share all of it and add one byte.
    const long = "x".repeat(60_000);
    const stat = { mode: 1, uid: 0, gid: 0, size: 0, mtimeNs: 0n, ctimeNs: 0n, inode: 0, links: 1 };
    const entries = Array.from({ length: 800 }, (_, i) => ({
      path: (long + String.fromCharCode(65 + Math.floor(i / 60), 65 + (i % 60))) as ByteString,
      stat,
      fileClass: "critical" as const,
      racy: false,
    }));
    const bytes = filePages.encode(entries);
    expect(bytes.length).toBeLessThan(200_000);
    expect(() => filePages.decode(bytes)).toThrow(/expand/);
  });
});
