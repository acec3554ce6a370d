import fc from "fast-check";
import { expect, test } from "vitest";
import type { MessageFile, MessageOutcome } from "../../../src/backup/pipeline/messages.ts";
import {
  decodeFiles,
  decodeIds,
  decodeOutcomes,
  encodeFiles,
  encodeIds,
  encodeOutcomes,
} from "../../../src/backup/pipeline/wire.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import { asObjectId } from "../../../src/store/object.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const ids = bytes(32).map(asObjectId);
const counts = fc.integer({ min: 0, max: 2 ** 53 - 1 });
const times = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

test("files are the same on the other side", () => {
  const files: fc.Arbitrary<MessageFile> = fc.record({
    path: fc.string().map(fromText),
    guid: fc.option(bytes(20), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(files), (list) => {
      expect(decodeFiles(structuredClone(encodeFiles(list)))).toEqual(list);
    }),
  );
});

test("outcomes are the same on the other side", () => {
  const outcomes: fc.Arbitrary<MessageOutcome> = fc.oneof(
    fc.constant<MessageOutcome>({ state: "absent" }),
    fc.constant<MessageOutcome>({ state: "changed" }),
    fc.record({ state: fc.constant("failed" as const), message: fc.string() }),
    fc.record({
      state: fc.constant("read" as const),
      id: ids,
      stat: fc.record({
        mode: fc.nat(),
        uid: counts,
        gid: counts,
        size: counts,
        mtimeNs: times,
        ctimeNs: times,
        inode: counts,
        links: counts,
      }),
      guidMatches: fc.constantFrom(true, false, undefined),
    }),
  );
  fc.assert(
    fc.property(fc.array(outcomes), (list) => {
      expect(decodeOutcomes(structuredClone(encodeOutcomes(list)))).toEqual(list);
    }),
  );
});

test("ids are the same on the other side", () => {
  fc.assert(
    fc.property(fc.array(ids), (list) => {
      expect(decodeIds(structuredClone(encodeIds(list)))).toEqual(list);
    }),
  );
});
