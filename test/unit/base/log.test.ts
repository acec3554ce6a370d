import { expect, test } from "vitest";
import { createLogger, type LogRecord, silentLogger } from "../../../src/base/log.ts";

test("createLogger() hands on what is at its level or more urgent, with its context", () => {
  const records: LogRecord[] = [];
  const log = createLogger((record) => records.push(record), "info");
  log.error("a", { path: "/x" });
  log.warning("b");
  log.info("c");
  log.debug("d");
  expect(records).toEqual([
    { level: "error", message: "a", context: { path: "/x" } },
    { level: "warning", message: "b", context: {} },
    { level: "info", message: "c", context: {} },
  ]);
});

test("createLogger() at the level debug hands on everything, and silentLogger nothing", () => {
  const levels: string[] = [];
  const log = createLogger((record) => levels.push(record.level), "debug");
  for (const level of ["error", "warning", "info", "debug"] as const) {
    log[level]("x");
    silentLogger[level]("x");
  }
  expect(levels).toEqual(["error", "warning", "info", "debug"]);
});
