import { describe, expect, test } from "vitest";
import { togetherOf } from "../../../bench/report/together.ts";
import { benchResult, caseResult } from "./sample-result.ts";

const a = { ...benchResult(caseResult("A", [], { title: "old" })), time: "2025-01-01", command: "run A" };
const later = {
  ...benchResult(caseResult("A", [], { title: "new" })),
  time: "2025-01-03",
  command: "again A",
};
const c = { ...benchResult(caseResult("C", [])), time: "2025-01-02", command: "run C", notes: ["no bup"] };

describe("togetherOf()", () => {
  test("has every case once, the later one, in order, and all commands and notes", () => {
    const { cases, command, notes, time } = togetherOf([c, later, a]);
    expect(cases.map(({ id, title }) => [id, title])).toEqual([
      ["A", "new"],
      ["C", "case C"],
    ]);
    expect(command).toBe("run A; run C; again A");
    expect(notes).toEqual(["no bup"]);
    expect(time).toBe("2025-01-03");
  });

  test("names every commit that was measured", () => {
    const other = { ...c, machine: { ...c.machine, commit: "def" } };
    expect(togetherOf([a, other]).machine.commit).toBe("abc, def");
  });

  test("refuses what does not compare", () => {
    expect(() => togetherOf([])).toThrow(RangeError);
    expect(() => togetherOf([a, { ...c, round: "quick" }])).toThrow(RangeError);
    expect(() => togetherOf([a, { ...c, machine: { ...c.machine, cpu: "another" } }])).toThrow(RangeError);
  });
});
