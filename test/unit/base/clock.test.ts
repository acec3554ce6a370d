import { describe, expect, test } from "vitest";
import { SimulatedClock, systemClock } from "../../../src/base/clock.ts";

describe("SimulatedClock", () => {
  test("stands still until it is moved on, and wakes sleepers in the order of their time", async () => {
    const clock = new SimulatedClock({ startMs: 1_000_000 });
    const woken: string[] = [];
    const long = clock.sleep(300).then(() => woken.push("long"));
    const short = clock.sleep(100).then(() => woken.push("short"));
    clock.advance(99);
    await Promise.resolve();
    expect(woken).toEqual([]);
    clock.advance(201);
    await Promise.all([long, short]);
    expect(woken).toEqual(["short", "long"]);
    expect([clock.nowMs(), clock.monotonicMs()]).toEqual([1_000_300, 300]);
    expect(clock.sleeps).toEqual([300, 100]);
  });

  test("jumps with its wall clock only", () => {
    const clock = new SimulatedClock({ startMs: 5000 });
    clock.advance(10);
    clock.jumpTo(0);
    expect([clock.nowMs(), clock.monotonicMs()]).toEqual([0, 10]);
  });

  test("moves itself on where that is asked for", async () => {
    const clock = new SimulatedClock({ autoAdvance: true });
    await clock.sleep(60_000);
    expect(clock.monotonicMs()).toBe(60_000);
  });
});

describe.each([
  ["systemClock", systemClock],
  ["SimulatedClock", new SimulatedClock()],
])("%s", (_name, clock) => {
  test("ends a sleep as interrupted when its signal aborts", async () => {
    const aborter = new AbortController();
    const sleep = clock.sleep(60_000, aborter.signal);
    aborter.abort();
    await expect(sleep).rejects.toMatchObject({ code: "INTERRUPTED" });
    await expect(clock.sleep(60_000, aborter.signal)).rejects.toMatchObject({ code: "INTERRUPTED" });
  });
});

test("systemClock sleeps about as long as asked", async () => {
  const startedMs = systemClock.monotonicMs();
  await systemClock.sleep(20);
  expect(systemClock.monotonicMs() - startedMs).toBeGreaterThanOrEqual(18);
  expect(Math.abs(systemClock.nowMs() - Date.now())).toBeLessThan(1000);
});
