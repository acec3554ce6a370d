import { expect, test } from "vitest";
import { type DelayInput, delaysByLocks, delaysByWork, type Hold } from "../../support/delay-judge.ts";

const select = { what: "select", user: "anna", fromMs: 10_000, toMs: 11_300 };

function input(holds: readonly Hold[], more: Partial<DelayInput> = {}): DelayInput {
  return {
    operations: [{ what: "select", user: "bruno", fromMs: 1000, toMs: 1200 }, select],
    backups: [{ fromMs: 9000, toMs: 20_000, holds }],
    quiet: [{ fromMs: 0, toMs: 9000 }],
    stalls: [],
    users: ["anna", "bruno"],
    patienceMs: 1000,
    ...more,
  };
}

test("a slow answer is ours if it would have come in time without our locks", () => {
  const held = (ms: number) => [{ what: "user.anna", fromMs: 10_100, ms }];
  expect(delaysByLocks(input([]))).toEqual([]);
  expect(delaysByLocks(input(held(20)))).toEqual([]);
  expect(delaysByLocks(input(held(400)))).toEqual([
    "select of anna took 1300 ms, 400 of them under our locks",
  ]);
});

test("a machine that stood still while we held a lock is no excuse", () => {
  const operations = [{ ...select, toMs: 15_000 }];
  const stalls = [{ fromMs: 10_000, toMs: 15_000 }];
  const holds = [{ what: "2 users", fromMs: 10_500, ms: 1100 }];
  expect(delaysByLocks(input(holds, { operations, stalls }))).toHaveLength(1);
});

test("locks one after the other keep a client waiting like one", () => {
  const holds = Array.from({ length: 100 }, (_, at) => ({
    what: "user.anna",
    fromMs: 10_000 + at * 12,
    ms: 4,
  }));
  expect(delaysByLocks(input(holds))).toEqual(["select of anna took 1300 ms, 1192 of them under our locks"]);
});

test("a lock of somebody else's mailbox keeps nobody else waiting", () => {
  expect(delaysByLocks(input([{ what: "user.bruno", fromMs: 10_000, ms: 1300 }]))).toEqual([]);
  expect(delaysByLocks(input([{ what: "/conf/mailboxes.db", fromMs: 10_000, ms: 1300 }]))).toHaveLength(1);
});

test("what was slow before and after the backup, or while the machine stood still, is not the backup's work", () => {
  const late = { ...select, toMs: 11_500 };
  expect(delaysByWork(input([], { operations: [select] }))).toHaveLength(1);
  expect(delaysByWork(input([]))).toHaveLength(1);
  const slowBefore = { what: "select", user: "bruno", fromMs: 1000, toMs: 1600 };
  expect(delaysByWork(input([], { operations: [slowBefore, late] }))).toEqual([]);
  expect(delaysByWork(input([], { stalls: [{ fromMs: 10_200, toMs: 10_700 }] }))).toEqual([]);
  expect(delaysByWork(input([], { backups: [{ fromMs: 0, toMs: 5000, holds: [] }] }))).toEqual([]);
});
