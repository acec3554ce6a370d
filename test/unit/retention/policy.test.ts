import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utcCalendar } from "../../../src/retention/calendar.ts";
import {
  decideRetention,
  NO_RULES,
  type RetentionCandidate,
  type RetentionRules,
} from "../../../src/retention/policy.ts";

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 22, 12);

function candidate(time: string | number, more: Partial<RetentionCandidate> = {}): RetentionCandidate {
  const timeMs = typeof time === "number" ? time : Date.parse(time);
  return {
    backup: `${new Date(timeMs).toISOString()}-${more.server ?? "mail"}`,
    server: "mail",
    timeMs,
    parent: undefined,
    incomplete: false,
    hold: undefined,
    tags: [],
    ...more,
  };
}

function decide(candidates: readonly RetentionCandidate[], rules: Partial<RetentionRules>, nowMs = NOW) {
  return decideRetention(candidates, { ...NO_RULES, ...rules }, nowMs, utcCalendar);
}

const kept = (verdicts: ReturnType<typeof decide>): string[] =>
  verdicts.filter(({ reasons }) => reasons.length > 0).map(({ candidate }) => candidate.backup.slice(0, 13));

describe("decideRetention()", () => {
  test("keeps the newest of each bucket, and says of which", () => {
    const verdicts = decide(
      [
        candidate("2026-11-22T03:00Z"),
        candidate("2026-11-21T23:00Z"),
        candidate("2026-11-21T03:00Z"),
        candidate("2026-11-20T03:00Z"),
        candidate("2026-11-15T03:00Z"),
        candidate("2026-10-31T03:00Z"),
        candidate("2025-12-31T03:00Z"),
      ],
      { daily: 2, weekly: 2, monthly: 2, yearly: 2 },
    );
    expect(verdicts.map(({ reasons }) => reasons)).toEqual([
      ["newest", "daily 2026-11-22", "weekly 2026-W47", "monthly 2026-11", "yearly 2026"],
      ["daily 2026-11-21"],
      [],
      [],
      ["weekly 2026-W46"],
      ["monthly 2026-10"],
      ["yearly 2025"],
    ]);
  });

  test("counts days with a backup, not days of the calendar: a pause pushes nothing out", () => {
    const verdicts = decide([candidate("2026-03-01T03:00Z"), candidate("2026-02-01T03:00Z")], { daily: 2 });
    expect(kept(verdicts)).toHaveLength(2);
  });

  test("always keeps the newest, and the newest without errors", () => {
    const broken = [1, 2, 3].map((n) => candidate(NOW - n * DAY, { incomplete: true }));
    const whole = [4, 5].map((n) => candidate(NOW - n * DAY));
    const verdicts = decide([...broken, ...whole], { last: 2 });
    expect(verdicts.map(({ reasons }) => reasons)).toEqual([
      ["newest", "last 1"],
      ["last 2"],
      [],
      ["newest without errors"],
      [],
    ]);
    expect(kept(decide([candidate(NOW)], {}))).toHaveLength(1);
  });

  test("goes by each server on its own", () => {
    const candidates = [1, 2, 3].flatMap((n) => [
      candidate(NOW - n * DAY, { server: "a" }),
      candidate(NOW - n * DAY - 1000, { server: "b" }),
    ]);
    const verdicts = decide(candidates, { last: 2 });
    for (const server of ["a", "b"])
      expect(kept(verdicts.filter(({ candidate }) => candidate.server === server))).toHaveLength(2);
  });

  test("keeps what has a hold, a tag that is asked for, or is young enough", () => {
    const verdicts = decide(
      [
        candidate(NOW - DAY),
        candidate(NOW - 2 * DAY),
        candidate(NOW - 3 * DAY),
        candidate(NOW - 9 * DAY, { hold: "court case 17" }),
        candidate(NOW - 10 * DAY, { tags: ["before-upgrade", "x"] }),
        candidate(NOW - 11 * DAY, { tags: ["x"] }),
      ],
      { withinMs: 2.5 * DAY, tags: ["before-upgrade"] },
    );
    expect(verdicts.map(({ reasons }) => reasons)).toEqual([
      ["newest", "within"],
      ["within"],
      [],
      ["hold: court case 17"],
      ["tag before-upgrade"],
      [],
    ]);
  });

  test("names weeks as ISO 8601 does", () => {
    for (const [day, week] of [
      ["2021-01-03", "2020-W53"],
      ["2021-01-04", "2021-W01"],
      ["2024-12-30", "2025-W01"],
      ["2026-12-31", "2026-W53"],
    ] as const)
      expect(utcCalendar(Date.parse(`${day}T12:00Z`)).week).toBe(week);
  });

  test("backups with false dates push no good one out, whatever the rules", () => {
    const count = fc.integer({ min: 0, max: 5 });
    const rules = fc.record({
      last: count,
      hourly: count,
      daily: count,
      weekly: count,
      monthly: count,
      yearly: count,
      withinMs: fc.integer({ min: 0, max: 30 * DAY }),
    });
    const ages = fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(
        rules,
        ages,
        fc.array(fc.integer({ min: 1, max: 4000 }), { maxLength: 20 }),
        (some, days, ahead) => {
          const good = days.map((n) => candidate(NOW - n * DAY));
          const newest = good.reduce((a, b) => (a.timeMs > b.timeMs ? a : b));
          const future = ahead.map((n, i) => candidate(NOW + n * DAY + i, { parent: newest.backup }));
          const before = ahead.map((n, i) =>
            candidate(newest.timeMs - n * DAY - i - 1, { parent: newest.backup, backup: `false-${i}` }),
          );
          const among = (verdicts: ReturnType<typeof decide>) =>
            verdicts
              .filter(({ candidate, reasons }) => good.includes(candidate) && reasons.length > 0)
              .map(({ candidate }) => candidate.backup);
          const alone = among(decide(good, some));
          expect(among(decide([...future, ...good, ...before], some))).toEqual(alone);
        },
      ),
    );
  });

  test("what is kept stays kept when the same rules are applied to what is left", () => {
    const rules = { last: 2, daily: 3, weekly: 2, monthly: 2 };
    const ages = fc.uniqueArray(fc.integer({ min: 0, max: 500 }), { maxLength: 40 });
    fc.assert(
      fc.property(ages, (hours) => {
        const all = hours.map((n) => candidate(NOW - n * 11 * 3_600_000));
        const first = decide(all, rules).filter(({ reasons }) => reasons.length > 0);
        const again = decide(
          first.map(({ candidate }) => candidate),
          rules,
        );
        expect(again.every(({ reasons }) => reasons.length > 0)).toBe(true);
      }),
    );
  });
});
