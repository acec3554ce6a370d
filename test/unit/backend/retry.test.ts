import { describe, expect, test } from "vitest";
import type { Backend } from "../../../src/backend/backend.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { readOnly } from "../../../src/backend/read-only.ts";
import { isTransient, retry } from "../../../src/backend/retry.ts";
import { SimulatedClock } from "../../../src/base/clock.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { type Faults, faultyBackend } from "../../support/faulty-backend.ts";

const bytes = Buffer.from("content");

function setUp(faults: Faults, attempts = 5) {
  const memory = new MemoryBackend();
  const faulty = faultyBackend(memory, faults);
  const clock = new SimulatedClock({ autoAdvance: true });
  const options = { clock, attempts, delayMs: 100, delayMaxMs: 1000, random: () => 0 };
  return { memory, faulty, clock, backend: retry(faulty, options) };
}

describe("retry()", () => {
  test("waits longer each time, up to a bound, and then tells the last failure", async () => {
    const { backend, faulty, clock } = setUp({ failAt: () => true }, 7);
    await expect(backend.read("a", 10)).rejects.toMatchObject({ code: "IO", context: { system: "EIO" } });
    expect(clock.sleeps).toEqual([100, 200, 400, 800, 1000, 1000]);
    expect(faulty.calls).toHaveLength(7);
  });

  test("shortens each wait by up to a half", async () => {
    const clock = new SimulatedClock({ autoAdvance: true });
    const faulty = faultyBackend(new MemoryBackend(), { failAt: () => true });
    const backend = retry(faulty, { clock, attempts: 2, delayMs: 100, random: () => 1 });
    await expect(backend.size("a")).rejects.toThrow();
    expect(clock.sleeps).toEqual([50]);
  });

  test.each(["ENOSPC", "EACCES", "EROFS", "EISDIR"])("does not try again after %s", async (code) => {
    const { backend, faulty, clock } = setUp({ failAt: () => true, code });
    await expect(backend.create("a", bytes)).rejects.toThrow(code);
    expect(faulty.calls).toEqual(["create a"]);
    expect(clock.sleeps).toEqual([]);
  });

  test("does not try again over a name that exists, and does not read it", async () => {
    const { backend, faulty, memory } = setUp({ failAt: () => false });
    await memory.create("a", bytes);
    await expect(backend.create("a", bytes)).rejects.toMatchObject({ code: "NAME_EXISTS" });
    expect(faulty.calls).toEqual(["create a"]);
  });

  test("takes a create whose answer was lost for done, after making it durable", async () => {
    const { backend, faulty, memory } = setUp({ failAt: (call) => call === 1, when: "after" });
    await backend.create("a", bytes);
    expect(faulty.calls).toEqual(["create a", "size a", "read a", "replace a"]);
    expect(await memory.read("a", 100)).toEqual(bytes);
  });

  test("says NAME_EXISTS when, after a failed create, somebody else's file is there", async () => {
    for (const other of ["other", "content of another"]) {
      const { backend, memory } = setUp({ failAt: (call) => call === 1 });
      await memory.create("a", Buffer.from(other));
      await expect(backend.create("a", bytes)).rejects.toMatchObject({ code: "NAME_EXISTS" });
      expect(await memory.read("a", 100)).toEqual(Buffer.from(other));
    }
  });

  test("finishes a commit, but never repeats an append", async () => {
    for (const when of ["before", "after"] as const) {
      const { backend, memory } = setUp({ failAt: (_, operation) => operation === "commit" && once(), when });
      let failed = false;
      function once(): boolean {
        const first = !failed;
        failed = true;
        return first;
      }
      const writer = await backend.begin("a");
      await writer.append(bytes);
      await writer.commit();
      expect(await memory.read("a", 100)).toEqual(bytes);
    }
    const { backend, faulty } = setUp({ failAt: (_, operation) => operation === "append" });
    const writer = await backend.begin("a");
    await expect(writer.append(bytes)).rejects.toMatchObject({ code: "IO" });
    expect(faulty.calls).toEqual(["begin a", "append a"]);
  });

  test("says of a removal whose answer was lost that it was one, of an absent file that it was not", async () => {
    const faults: Faults = {
      failAt: (call, operation) => operation === "remove" && call === 2,
      when: "after",
    };
    const there = setUp(faults);
    await there.memory.create("a", bytes);
    expect(await there.backend.remove("a")).toBe(true);
    expect(await there.memory.size("a")).toBeUndefined();
    expect(await setUp(faults).backend.remove("a")).toBe(false);
  });

  test("goes on with a list that broke off, without naming a file twice", async () => {
    const { backend, memory } = setUp({ failAt: (call) => call === 1, when: "after" });
    for (const name of ["a", "b", "c"]) await memory.create(name, bytes);
    const names: string[] = [];
    for await (const { name } of backend.list("")) names.push(name);
    expect(names).toEqual(["a", "b", "c"]);
  });

  test("stops waiting when told to", async () => {
    const clock = { ...new SimulatedClock(), nowMs: () => 0, monotonicMs: () => 0, sleep: refuse };
    function refuse(): Promise<void> {
      return Promise.reject(new CyrvaultError("INTERRUPTED", "interrupted"));
    }
    const backend: Backend = retry(faultyBackend(new MemoryBackend(), { failAt: () => true }), { clock });
    await expect(backend.size("a")).rejects.toMatchObject({ code: "INTERRUPTED" });
  });
});

test("isTransient() is false for bugs, damage and refusals of our own", async () => {
  expect(isTransient(new TypeError("bug"))).toBe(false);
  expect(isTransient(new CyrvaultError("REPOSITORY_DAMAGED", "x"))).toBe(false);
  const refused = await readOnly(new MemoryBackend())
    .create("a", bytes)
    .catch((error) => error);
  expect(isTransient(refused)).toBe(false);
});
