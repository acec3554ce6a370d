import { describe, expect, test } from "vitest";
import { SimulatedClock } from "../../../src/base/clock.ts";
import { excludedOptions } from "../../../src/cli/excluded-options.ts";
import { filterOptions, parseOnly } from "../../../src/cli/filter-options.ts";
import { applyPriority, freeBytesAt, neighbourOptions } from "../../../src/cli/neighbour-options.ts";
import { neighbourThreads, threadsBeside } from "../../../src/cli/threads.ts";

const MIB = 1024 * 1024;
const YEAR_MS = 366 * 86_400_000;

describe("a good neighbour", () => {
  test.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 2],
    [6, 3],
    [64, 3],
  ])("of %i cores it takes %i for threads", (cores, threads) => {
    expect(neighbourThreads(cores)).toBe(threads);
  });

  test.each([
    [0, 3, 3],
    [10_000, 3, 3],
    [60_000, 3, 2],
    [150_000, 2, 2],
    [250_000, 3, 1],
    [2_000_000, 2, 1],
  ])("beside %i mailboxes %i threads become %i", (mailboxes, threads, expected) => {
    expect(threadsBeside(mailboxes, threads)).toBe(expected);
    const { threads: chosen } = neighbourOptions({}, new SimulatedClock());
    if (typeof chosen === "number") throw new TypeError("they were not asked for");
    expect(chosen(mailboxes)).toBe(threadsBeside(mailboxes, neighbourThreads()));
  });

  test("limits are read as people write them; the time is over so long from now", () => {
    const clock = new SimulatedClock();
    clock.advance(500);
    const given = { threads: "4", readLimit: "50M", maxDuration: "6h", minFree: "10G" };
    expect(neighbourOptions(given, clock)).toEqual({
      threads: 4,
      limits: { readRate: 50 * MIB, untilMs: 500 + 6 * 3_600_000, freeBytes: 10_240 * MIB },
    });
    expect(neighbourOptions({}, clock).limits).toEqual({});
  });

  test.each([
    [{ threads: "0" }, "--threads 0"],
    [{ threads: "many" }, "--threads many"],
    [{ readLimit: "0" }, "--read-limit 0"],
    [{ maxDuration: "soon" }, "--max-duration soon"],
    [{ minFree: "10%" }, "--min-free 10%"],
  ])("%o is refused", (given, said) => {
    expect(() => neighbourOptions(given, new SimulatedClock())).toThrow(said);
  });

  test("another priority than low or normal is refused", () => {
    expect(() => applyPriority({ priority: "high" }, undefined as never)).toThrow("--priority high");
    expect(() => applyPriority({ priority: "normal" }, undefined as never)).not.toThrow();
  });

  test("how much is free is known of a directory that is there", () => {
    expect(freeBytesAt(import.meta.dirname)).toBeGreaterThan(0);
    expect(freeBytesAt("/none/such")).toBeUndefined();
    expect(freeBytesAt(undefined)).toBeUndefined();
  });
});

describe("what is left out", () => {
  test("sizes, ages and special uses are read as people write them", () => {
    expect(
      filterOptions({
        excludeLarger: "50M",
        excludeOlder: "5y",
        excludeSpecialUse: ["Junk,\\Trash", " Drafts "],
      }),
    ).toEqual({
      excludeLarger: 50 * MIB,
      excludeOlderMs: 5 * YEAR_MS,
      excludeSpecialUse: ["\\Junk", "\\Trash", "\\Drafts"],
    });
    expect(filterOptions({})).toEqual({});
  });

  test.each([
    [{ excludeLarger: "big" }, "--exclude-larger big"],
    [{ excludeOlder: "0" }, "--exclude-older 0"],
    [{ excludeOlder: "5 years" }, "--exclude-older 5 years"],
    [{ excludeSpecialUse: ["Junk,,Trash"] }, "--exclude-special-use"],
  ])("%o is refused", (given, said) => {
    expect(() => filterOptions(given)).toThrow(said);
  });

  test("nothing but the mailbox list can be asked for alone", () => {
    expect([parseOnly({}), parseOnly({ only: "mailbox-list" })]).toEqual([undefined, "mailbox-list"]);
    expect(() => parseOnly({ only: "sieve" })).toThrow("--only sieve");
  });

  test("excluded mailboxes come back empty or not at all", () => {
    expect(excludedOptions({})).toEqual({ excluded: undefined, rawIndex: false });
    expect(excludedOptions({ excluded: "absent", rawIndex: true })).toEqual({
      excluded: "absent",
      rawIndex: true,
    });
    expect(() => excludedOptions({ excluded: "some" })).toThrow("--excluded some");
  });
});
