import { describe, expect, test } from "vitest";
import type { CaseResult } from "../../../bench/report/result.ts";
import { type TargetRow, targetRows } from "../../../bench/report/targets.ts";
import { benchResult, caseResult, sample, step } from "./sample-result.ts";

function row(result: CaseResult, what: string): TargetRow {
  const found = targetRows(benchResult(result)).filter((candidate) => candidate.what.includes(what));
  expect(found).toHaveLength(1);
  return found[0] as TargetRow;
}

function sized(own: number, restic: number, bup: number): CaseResult {
  return caseResult("A", [
    step("first backup", "cyrvault", [10], { repositoryBytes: own }),
    step("first backup", "restic", [30], { repositoryBytes: restic }),
    step("first backup", "bup", [60], { repositoryBytes: bup }),
  ]);
}

describe("targetRows()", () => {
  test("a repository of a third of restic's meets the target, a larger one does not", () => {
    expect(row(sized(100e6, 300e6, 200e6), "after the first backup, of restic's")).toMatchObject({
      caseId: "A",
      met: true,
      measured: "0.33 (1/3.0): 100 MB of 300 MB",
    });
    expect(row(sized(101e6, 300e6, 200e6), "after the first backup, of restic's").met).toBe(false);
    expect(row(sized(151e6, 600e6, 200e6), "of bup's").met).toBe(false);
  });

  test("compares medians of the rounds", () => {
    const result = caseResult("B", [
      step("first backup", "cyrvault", [9, 1, 2]),
      step("first backup", "restic", [4, 4, 0.1]),
    ]);
    expect(row(result, "first backup, of restic's time")).toMatchObject({ met: true });
  });

  test("says that nothing was measured where the other tool is not there or has failed", () => {
    const failed = { ...step("restore", "restic", []), samples: [sample(1, { failure: "ended with 1" })] };
    const result = caseResult("A", [step("restore", "cyrvault", [3]), failed]);
    expect(row(result, "full restore, of restic")).toMatchObject({
      met: undefined,
      measured: "3.00 s, and nothing to compare with",
    });
    expect(row(caseResult("A", []), "full restore, of restic")).toMatchObject({
      met: undefined,
      measured: "not measured",
    });
  });

  test("counts what a failed round took for nothing", () => {
    const own = step("nothing changed", "cyrvault", [1]);
    const result = caseResult("C", [
      { ...own, samples: [...own.samples, sample(100, { failure: "killed" })] },
    ]);
    const measured = targetRows(benchResult(result)).map((each) => each.measured);
    expect(measured).toContain("1.00 s");
    expect(measured.join()).not.toContain("100 s");
  });

  test("the floor is that of mail and other files together", () => {
    const floor = {
      mailBytes: 300e6,
      otherBytes: 30e6,
      mailCompressed: 90e6,
      otherCompressed: 10e6,
      commands: [],
    };
    const result = { ...sized(115e6, 200e6, 1), floor };
    expect(row(result, "of the floor")).toMatchObject({ met: true });
    expect(row(result, "of the floor").measured).toContain("mail alone: 90.0 MB");
    expect(row(result, "of the floor").measured).toContain("of restic's: 0.50 (1/2.0)");
    expect(row({ ...sized(116e6, 1, 1), floor }, "of the floor").met).toBe(false);
  });

  test("compares the days that both tools backed up, and the last three with the first three", () => {
    const days = [1, 1, 1, 5, 5, 5, 1.3, 1.3, 1.3];
    const result = caseResult("C", [step("day", "cyrvault", days), step("day", "restic", [20, 20, 20])]);
    expect(row(result, "of mailboxes touched")).toMatchObject({
      met: true,
      measured: "0.0500 (1/20.0): 1.00 s of 20.0 s",
    });
    expect(row(result, "days 8–10, of days 2–4")).toMatchObject({ met: false });
  });

  test("with fewer messages, being much faster misses the target as much as being slower", () => {
    const withSmall = (seconds: number) =>
      caseResult("C", [step("nothing changed", "cyrvault", [1]), step("small tree", "cyrvault", [seconds])]);
    expect(
      [0.7, 0.9, 1.1, 1.3].map((seconds) => row(withSmall(seconds), "in the same mailboxes").met),
    ).toEqual([false, true, true, false]);
  });

  test("a message counts without the start of the program", () => {
    const result = caseResult("C", [
      step("start", "cyrvault", [0.8, 0.9, 1]),
      step("one message", "cyrvault", [1.3]),
    ]);
    expect(row(result, "one message")).toMatchObject({ met: true, measured: "0.40 s: 1.30 s less 0.90 s" });
  });

  test("the index is rebuilt at so many objects a second", () => {
    const result = (objects: number) =>
      caseResult("C", [step("rebuild-index", "cyrvault", [10], { objects })]);
    expect(row(result(1e6), "rebuild-index").met).toBe(true);
    expect(row(result(999_999), "rebuild-index").met).toBe(false);
  });

  test("a restore may open so many bytes for those it needs, more after many days", () => {
    const facts = { blockBytesOpened: 3e9, blockBytesNeeded: 1e9 };
    const result = caseResult("A", [
      step("restore", "cyrvault", [10], facts),
      step("restore after the days", "cyrvault", [10], facts),
    ]);
    expect(row(result, "full restore, bytes opened")).toMatchObject({
      met: false,
      measured: "3.00: 3,000 MB of 1,000 MB",
    });
    expect(row(result, "after the days, bytes opened").met).toBe(true);
    expect(row(caseResult("A", []), "full restore, bytes opened").measured).toBe("not measured");
  });

  test("memory is that of cyrvault's most hungry round", () => {
    const own = step("first backup", "cyrvault", []);
    const result = caseResult("D", [
      { ...own, samples: [sample(1, { peakPrivateBytes: 300e6 }), sample(1)] },
      { ...own, tool: "restic", samples: [sample(1, { peakPrivateBytes: 900e6 })] },
    ]);
    expect(row(result, "peak private memory")).toMatchObject({ met: false });
    expect(row(result, "peak private memory").measured).toContain("300 MB (first backup)");
  });

  test("a run in a cgroup counts where it ended well, and says why there is none", () => {
    const run = { command: "c", seconds: 1, exitCode: 0, oomKills: 0, peakBytes: 1 };
    const limitBytes = 256e6;
    const limited = (limits: NonNullable<CaseResult["limited"]>) =>
      row(caseResult("A", [], { limited: limits }), "cgroup");
    expect(limited({ limitBytes, runs: [{ ...run, step: "check" }] }).met).toBe(true);
    expect(
      limited({ limitBytes, runs: [{ ...run, step: "check", exitCode: -1, oomKills: 1 }] }),
    ).toMatchObject({
      met: false,
      measured: "not: check",
    });
    expect(limited({ unavailable: "no memory controller" })).toMatchObject({
      met: undefined,
      measured: "not measured: no memory controller",
    });
  });
});
