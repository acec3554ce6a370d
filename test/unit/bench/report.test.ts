import { describe, expect, test } from "vitest";
import { caseDefinitions, planLines } from "../../../bench/cases/case.ts";
import { barChart } from "../../../bench/report/bar-chart.ts";
import { charts } from "../../../bench/report/charts.ts";
import { bytesText, ratioText, secondsText, spreadText } from "../../../bench/report/format.ts";
import { resultPage, table } from "../../../bench/report/markdown.ts";
import { benchResult, caseResult, sample, step } from "./sample-result.ts";

describe("format", () => {
  test("figures have as many digits as they deserve", () => {
    expect([0.123, 12.34, 1234.5].map(secondsText)).toEqual(["0.12 s", "12.3 s", "1,235 s"]);
    expect([1500, 2.5e6, 1.652e9, 4.2e10].map(bytesText)).toEqual([
      "1.5 KB",
      "2.5 MB",
      "1,652 MB",
      "42.00 GB",
    ]);
    expect([0.02, 0.5, 1.04].map(ratioText)).toEqual(["0.0200 (1/50.0)", "0.50 (1/2.0)", "1.04"]);
  });

  test("several rounds show how far they lie apart, one shows itself", () => {
    expect(spreadText([3, 1, 2], secondsText)).toBe("2.00 s (1.00 s – 3.00 s, 3 rounds)");
    expect(spreadText([3], secondsText)).toBe("3.00 s");
    expect(spreadText([], secondsText)).toBe("–");
  });
});

describe("barChart()", () => {
  const bar = { label: "a", value: 10, text: "10 s", highlighted: false };

  test("lengths are in proportion, in each panel by itself", () => {
    const svg = barChart("Time", [
      { title: "one", bars: [bar, { ...bar, value: 5, highlighted: true }] },
      { title: "two", bars: [{ ...bar, value: 1000 }] },
    ]);
    const widths = [...svg.matchAll(/class="(bar|own)"[^>]* width="(\d+)"/g)].map(([, name, width]) => [
      name,
      Number(width),
    ]);
    const full = widths[0]?.[1] as number;
    expect(widths).toEqual([
      ["bar", full],
      ["own", full / 2],
      ["bar", full],
    ]);
  });

  test("a value of nothing is a bar of nothing, and text cannot become markup", () => {
    const svg = barChart('<a> & "b"', [{ title: "x", bars: [{ ...bar, value: 0, label: "<script>" }] }]);
    expect(svg).toContain('width="0"');
    expect(svg).toContain("&lt;a&gt; &amp; &quot;b&quot;");
    expect(svg).not.toContain("<script>");
    expect(svg).not.toContain("NaN");
  });
});

describe("charts()", () => {
  test("draws sizes and times of the tools that were measured", () => {
    const result = benchResult(
      caseResult("A", [
        step("first backup", "cyrvault", [10], { repositoryBytes: 5e6 }),
        step("first backup", "restic", [30], { repositoryBytes: 16e6 }),
      ]),
    );
    const drawn = charts(result);
    expect(drawn.map(({ name }) => name)).toEqual(["repository-size", "time"]);
    expect(drawn[0]?.svg).toContain("16.0 MB");
    expect(drawn[0]?.svg).not.toContain("borg");
    expect(drawn[1]?.svg).toContain("30.0 s");
  });

  test("draws nothing where there is nothing to compare", () => {
    expect(charts(benchResult(caseResult("D", [step("first backup", "cyrvault", [10])])))).toEqual([]);
  });
});

describe("resultPage()", () => {
  const failing = {
    ...step("restore", "bup", []),
    samples: [sample(1, { failure: "bup ended with 1: a | b\nc" })],
  };
  const page = resultPage(
    benchResult(
      caseResult("A", [
        step("first backup", "cyrvault", [10, 12, 11], { repositoryBytes: 5e6 }),
        step("restore", "cyrvault", [3], { differences: 0 }),
        failing,
      ]),
    ),
    ["../../docs/charts/time.svg"],
  );

  test("has a command for every figure", () => {
    for (const command of ["cyrvault first backup", "cyrvault restore", "bup restore", "make tree"])
      expect(page).toContain(command);
  });

  test("shows failures in the table instead of leaving them out", () => {
    expect(page).toContain("failed: bup ended with 1: a \\| b c |");
    expect(page).toContain("equals the source");
  });

  test("every row of a table has as many cells as its head", () => {
    const widths = page
      .split("\n\n")
      .filter((part) => part.startsWith("| "))
      .map((part) => new Set(part.split("\n").map((line) => line.replaceAll("\\|", "").split("|").length)));
    expect(widths.length).toBeGreaterThan(1);
    for (const width of widths) expect(width.size).toBe(1);
  });

  test("shows the charts", () => {
    expect(page).toContain("![time](../../docs/charts/time.svg)");
    expect(table(["a"], [["b"]])).toBe("| a |\n| --- |\n| b |");
  });
});

describe("caseDefinitions()", () => {
  test("both rounds have the four cases, the quick one on other trees", () => {
    const [quick, full] = [caseDefinitions("quick"), caseDefinitions("full")];
    expect(quick.map(({ id }) => id)).toEqual(["A", "B", "C", "D"]);
    expect(full.map(({ id }) => id)).toEqual(["A", "B", "C", "D"]);
    for (const [index, { tree }] of quick.entries()) expect(tree).not.toEqual(full[index]?.tree);
  });

  test("a plan names the steps that will be done and no others", () => {
    const [first] = caseDefinitions("full");
    if (first === undefined) throw new Error("there are cases");
    const plan = planLines({ ...first, floor: false, rounds: { ...first.rounds, days: 0 } }, [
      "cyrvault",
      "borg",
    ]).join("\n");
    expect(plan).toContain("first backup: cyrvault 3 times, borg once");
    expect(plan).not.toMatch(/floor|days|cold/);
  });
});
