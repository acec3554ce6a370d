import { describe, expect, test } from "vitest";
import { Cache } from "../../../src/store/cache.ts";

const load = (value: string) => () => Promise.resolve(value);
const newCache = (bytesMax: number) => new Cache<string, string>(bytesMax, (value) => value.length);

describe("Cache", () => {
  test("drops the least recently used first, and never holds more than it may", async () => {
    const cache = newCache(9);
    await cache.get("a", load("aaa"));
    await cache.get("b", load("bbb"));
    await cache.get("c", load("ccc"));
    await cache.get("a", load("not loaded"));
    await cache.get("d", load("ddd"));
    expect(cache.peek("b")).toBeUndefined();
    expect([cache.peek("a"), cache.peek("c"), cache.peek("d")]).toEqual(["aaa", "ccc", "ddd"]);
    expect(cache.bytes).toBe(9);
    expect(await cache.get("e", load("more than nine"))).toBe("more than nine");
    expect(cache.peek("e")).toBeUndefined();
    expect(cache.bytes).toBe(9);
  });

  test("loads once for all who ask at the same time", async () => {
    const cache = newCache(100);
    let loads = 0;
    const slow = async () => {
      loads++;
      await new Promise(setImmediate);
      return "value";
    };
    expect(await Promise.all([cache.get("k", slow), cache.get("k", slow), cache.get("k", slow)])).toEqual([
      "value",
      "value",
      "value",
    ]);
    expect(loads).toBe(1);
  });

  test("keeps no failure", async () => {
    const cache = newCache(100);
    await expect(cache.get("k", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await cache.get("k", load("yes"))).toBe("yes");
  });

  test("does not keep what was deleted while it was being loaded", async () => {
    const cache = newCache(100);
    const loading = cache.get("k", async () => {
      await new Promise(setImmediate);
      return "old";
    });
    cache.delete("k");
    expect(await cache.get("k", load("new"))).toBe("new");
    expect(await loading).toBe("old");
    expect(cache.peek("k")).toBe("new");
  });
});
