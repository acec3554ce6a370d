import { describe, expect, test } from "vitest";
import type { ByteString } from "../../../src/base/byte-string.ts";
import { cutsBefore, hashKey, INNER_CUT } from "../../../src/manifest/cut.ts";
import { filePages } from "../../../src/manifest/file-page.ts";
import { mailboxPages } from "../../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../../src/manifest/message-page.ts";
import type { CutRule, PageKey } from "../../../src/manifest/page-codec.ts";

/** Computed apart from this code, from the words of docs/formats/manifest.md. */
test.each([
  [12_345, 0, 1_011_272_156],
  [12_345, 1, 4_067_997_445],
  [0xffff_ffff, 3, 3_834_300_474],
  ["user.anna", 0, 2_636_360_473],
  ["user.anna", 2, 915_904_549],
  ["\xff\0", 1, 3_293_126_129],
])("the hash of %j at level %i is %i", (key, level, hash) => {
  expect(hashKey(key as PageKey, level)).toBe(hash);
});

describe("pages", () => {
  const sizes = (rule: CutRule, keys: Iterable<PageKey>): number[] => {
    const found: number[] = [];
    let count = 0;
    for (const key of keys) {
      if (cutsBefore(key, 0, rule, count, 0)) {
        found.push(count);
        count = 0;
      }
      count++;
    }
    return found;
  };

  test.each([
    ["UIDs in a row", messagePages.cut, (i: number) => i],
    ["UIDs with gaps", messagePages.cut, (i: number) => i * 17],
    ["mailbox names", mailboxPages.cut, (i: number) => `user.u${i}.Sent` as ByteString],
    ["paths", filePages.cut, (i: number) => `/var/lib/cyrus/user/${i}.sub` as ByteString],
    ["inner pages", INNER_CUT, (i: number) => i],
  ])("of %s are about as long as they should be, and within bounds", (_what, rule, key) => {
    const found = sizes(
      rule,
      Array.from({ length: rule.avg * 200 }, (_, i) => key(i)),
    );
    const mean = found.reduce((a, b) => a + b, 0) / found.length;
    expect(mean).toBeGreaterThan(rule.avg * 0.8);
    expect(mean).toBeLessThan(rule.avg * 1.2);
    expect(Math.min(...found)).toBeGreaterThanOrEqual(rule.min);
    expect(Math.max(...found)).toBeLessThanOrEqual(rule.max);
  });

  test("end early when their entries are heavy", () => {
    expect(cutsBefore(1, 0, messagePages.cut, 1, 512 * 1024)).toBe(true);
    expect(cutsBefore(1, 0, messagePages.cut, 0, 512 * 1024)).toBe(false);
  });
});
