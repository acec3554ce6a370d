import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Progress } from "../../../src/base/progress.ts";

const SECOND = 1000;

describe("Progress", () => {
  test("counts, and tells rate and time left from a steady pace", () => {
    const progress = new Progress();
    progress.beginPhase("reading mail", 5 * SECOND, { items: 1000, bytes: 100_000 });
    for (let s = 1; s <= 10; s++) progress.add({ items: 10, bytes: 1000 }, (5 + s) * SECOND);
    expect(progress.snapshot(15 * SECOND)).toEqual({
      phase: "reading mail",
      elapsedMs: 10 * SECOND,
      done: { items: 100, bytes: 10_000 },
      total: { items: 1000, bytes: 100_000 },
      rate: { items: 10, bytes: 1000 },
      remainingMs: 90 * SECOND,
    });
  });

  test("forgets the pace of long ago", () => {
    const progress = new Progress();
    progress.beginPhase("p", 0, { items: 0, bytes: 1_000_000 });
    progress.add({ bytes: 500_000 }, SECOND);
    for (let s = 2; s <= 40; s++) progress.add({ bytes: 1000 }, s * SECOND);
    expect(progress.snapshot(40 * SECOND).rate.bytes).toBeCloseTo(1000, 6);
  });

  test("lets the rate fall to nothing while nothing happens", () => {
    const progress = new Progress();
    progress.beginPhase("p", 0, { items: 10, bytes: 0 });
    progress.add({ items: 5 }, SECOND);
    expect(progress.snapshot(2 * SECOND).remainingMs).toBe(2 * SECOND);
    expect(progress.snapshot(100 * SECOND)).toMatchObject({
      rate: { items: 0, bytes: 0 },
      remainingMs: undefined,
    });
  });

  test("knows no time left without a total or a pace, and none is left at the end", () => {
    const progress = new Progress();
    progress.beginPhase("survey", 0);
    progress.add({ items: 3 }, SECOND);
    expect(progress.snapshot(SECOND)).toMatchObject({ total: undefined, remainingMs: undefined });
    progress.setTotal({ items: 3, bytes: 0 });
    expect(progress.snapshot(SECOND).remainingMs).toBe(0);
    progress.beginPhase("next", 2 * SECOND, { items: 1, bytes: 1 });
    expect(progress.snapshot(2 * SECOND)).toMatchObject({
      done: { items: 0, bytes: 0 },
      rate: { items: 0, bytes: 0 },
      remainingMs: undefined,
    });
  });

  test("takes the longer of the two times where items and bytes disagree", () => {
    const progress = new Progress();
    progress.beginPhase("p", 0, { items: 100, bytes: 1100 });
    progress.add({ items: 50, bytes: 100 }, SECOND);
    expect(progress.snapshot(SECOND).remainingMs).toBe(10 * SECOND);
  });

  test("never shows a negative or endless figure, however calls come", () => {
    const step = fc.record({
      ms: fc.nat(40_000),
      items: fc.nat(1000),
      bytes: fc.nat(1_000_000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const progress = new Progress();
        progress.beginPhase("p", 0, { items: 5000, bytes: 5_000_000 });
        let nowMs = 0;
        for (const { ms, items, bytes } of steps) {
          nowMs += ms;
          progress.add({ items, bytes }, nowMs);
          const { rate, remainingMs } = progress.snapshot(nowMs);
          for (const figure of [rate.items, rate.bytes, remainingMs ?? 0]) {
            expect(figure).toBeGreaterThanOrEqual(0);
            expect(figure).toBeLessThan(Number.POSITIVE_INFINITY);
          }
        }
      }),
    );
  });
});
