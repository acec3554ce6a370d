import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inTurn, median, summarise } from "../../../bench/measure/statistics.ts";

describe("summarise()", () => {
  test("takes the value in the middle, whatever the order", () => {
    expect(summarise([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5, rounds: 3 });
  });

  test("takes the mean of the two in the middle of an even number", () => {
    expect(median([10, 1, 2, 4])).toBe(3);
  });

  test("has nothing to say of no rounds", () => {
    expect(summarise([])).toBeUndefined();
  });

  test("leaves what it was given in order, and at most half of it on either side of the median", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const before = [...values];
        const middle = median(values) as number;
        expect(values).toEqual(before);
        expect(values.filter((value) => value < middle).length).toBeLessThanOrEqual(values.length / 2);
        expect(values.filter((value) => value > middle).length).toBeLessThanOrEqual(values.length / 2);
      }),
    );
  });
});

describe("inTurn()", () => {
  test("turns the order round in every other round", () => {
    const tools = ["a", "b", "c"];
    expect([0, 1, 2].map((round) => inTurn(tools, round).join(""))).toEqual(["abc", "cba", "abc"]);
    expect(tools).toEqual(["a", "b", "c"]);
  });
});
