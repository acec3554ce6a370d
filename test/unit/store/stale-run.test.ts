import { expect, test } from "vitest";
import type { RunRecord } from "../../../src/store/run-record.ts";
import { isHere, staleReason } from "../../../src/store/stale-run.ts";

const NOW = Date.UTC(2026, 0, 1);
const HOUR = 3_600_000;
const record: RunRecord = {
  run: "20260101T000000Z-00000000",
  kind: "backup",
  server: "mail",
  host: "there",
  pid: 4711,
  startedMs: NOW - 10 * HOUR,
  heartbeatMs: NOW,
  gcSeen: 0,
  parent: undefined,
  checkpoints: [],
  backup: undefined,
  process: undefined,
};
const here = { host: "here", isAlive: () => false };

test("a run elsewhere is stale when it has been silent for an hour, or says that it is of the future", () => {
  expect(staleReason(record, NOW, here)).toBeUndefined();
  expect(staleReason(record, NOW + HOUR, here)).toBeUndefined();
  expect(staleReason(record, NOW + HOUR + 1, here)).toMatch(/silent for 60 minutes/);
  expect(staleReason(record, NOW - HOUR, here)).toBeUndefined();
  expect(staleReason(record, NOW - HOUR - 1, here)).toMatch(/future/);
});

test("a run of this host is stale as soon as its process is no more, or its number is another one's", () => {
  expect(staleReason({ ...record, host: "here" }, NOW, here)).toMatch(/4711 is no more/);
  const own = { ...record, host: "here", pid: process.pid };
  expect(staleReason(own, NOW, isHere("here"))).toBeUndefined();
  expect(staleReason({ ...own, process: "another-boot pid:[1] 1" }, NOW, isHere("here"))).toMatch(/no more/);
});
