import { expect, onTestFinished, test } from "vitest";
import { limited } from "../../../src/backend/limited.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { SimulatedClock, systemClock } from "../../../src/base/clock.ts";
import { RateLimit } from "../../../src/base/rate-limit.ts";

test("many callers together stay below the rate, and unused time is not saved up", async () => {
  const clock = new SimulatedClock({ autoAdvance: true });
  const limit = new RateLimit(1000, clock);
  clock.advance(60_000);
  const began = clock.monotonicMs();
  for (let i = 0; i < 50; i++) await limit.take(100);
  expect(clock.monotonicMs() - began).toBeGreaterThanOrEqual(4900);
  expect(clock.monotonicMs() - began).toBeLessThanOrEqual(5000);
});

test("a wait ends when the command is interrupted", async () => {
  const limit = new RateLimit(1, new SimulatedClock(), AbortSignal.abort());
  await expect(limit.take(100)).rejects.toMatchObject({ code: "INTERRUPTED" });
});

test("a limited backend writes what it is given, and waits for each kind of writing", async () => {
  const clock = new SimulatedClock({ autoAdvance: true });
  const inner = new MemoryBackend();
  const backend = limited(inner, new RateLimit(100, clock));
  await backend.create("a", Buffer.alloc(100));
  await backend.replace("a", Buffer.alloc(200, 1));
  const writer = await backend.begin("b");
  await writer.append(Buffer.alloc(300, 2));
  await writer.commit();
  expect(clock.monotonicMs()).toBe(6000);
  expect(await backend.size("a")).toBe(200);
  expect(await inner.read("b", 1000)).toEqual(Buffer.alloc(300, 2));
  expect(await backend.remove("b")).toBe(true);
  const names: string[] = [];
  for await (const { name } of backend.list("")) names.push(name);
  expect(names).toEqual(["a"]);
});

test("however many wait at once, and may be interrupted, Node has nothing to say about it", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => void warnings.push(warning);
  process.on("warning", onWarning);
  onTestFinished(() => void process.off("warning", onWarning));
  const controller = new AbortController();
  const limit = new RateLimit(1000, systemClock, controller.signal);
  const waiting = Promise.allSettled(Array.from({ length: 20 }, () => limit.take(1000)));
  await new Promise((resolve) => setImmediate(resolve));
  controller.abort();
  expect((await waiting).filter(({ status }) => status === "rejected")).toHaveLength(20);
  expect(warnings).toEqual([]);
});
