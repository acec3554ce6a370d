import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import {
  FLAG_SEEN,
  hasUserFlag,
  INTERNAL_EXPUNGED,
  internalFlagNames,
  MAX_USER_FLAGS,
  mailboxOptionNames,
  OPTION_DELETED,
  systemFlagBit,
  systemFlagNames,
  userFlagNames,
  userFlagWords,
} from "../../../src/cyrus/flags.ts";

describe("flags", () => {
  test("system flags have their IMAP names, internal ones have none", () => {
    expect(systemFlagNames(0x8000_0014)).toEqual(["\\Deleted", "\\Seen"]);
    expect(systemFlagNames(INTERNAL_EXPUNGED)).toEqual([]);
    expect(systemFlagBit("\\SEEN")).toBe(FLAG_SEEN);
    expect(systemFlagBit("$Label1")).toBeUndefined();
  });

  test("internal flags and mailbox options have names of ours", () => {
    expect(internalFlagNames(0xc000_0014)).toEqual(["unlinked", "expunged"]);
    expect(internalFlagNames(0x2c00_0000)).toEqual(["snoozed", "split-conversation", "archived"]);
    expect(mailboxOptionNames(OPTION_DELETED + 0b11101)).toEqual([
      "pop3-new-uidl",
      "shared-seen",
      "duplicate-delivery",
      "has-alarms",
      "deleted",
    ]);
  });

  test("slots become words and come back", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(MAX_USER_FLAGS - 1)), (slots) => {
        const words = userFlagWords(slots);
        const back = Array.from({ length: MAX_USER_FLAGS }, (_, slot) => slot).filter((slot) =>
          hasUserFlag(words, slot),
        );
        expect(back).toEqual([...slots].sort((a, b) => a - b));
      }),
    );
    expect(userFlagWords([31, 32, 127])).toEqual([0x8000_0000, 1, 0, 0x8000_0000]);
    expect(() => userFlagWords([128])).toThrow(RangeError);
  });

  test("a slot set in the record and free in the header is told apart", () => {
    expect(userFlagNames(userFlagWords([0, 1, 40]), [fromText("A"), undefined])).toEqual({
      names: ["A"],
      unnamedSlots: [1, 40],
    });
  });
});
