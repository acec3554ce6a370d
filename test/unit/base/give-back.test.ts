import { expect, test } from "vitest";
import { giveBack } from "../../../src/base/give-back.ts";

const BYTES = 4 * 1024 * 1024;

test("memory that is given back is free at once, and every view of it empty", () => {
  const bytes = Buffer.alloc(BYTES, 1);
  const view = bytes.subarray(10, 20);
  const before = process.memoryUsage().arrayBuffers;
  giveBack(bytes);
  expect(bytes.length).toBe(0);
  expect(view.length).toBe(0);
  expect(before - process.memoryUsage().arrayBuffers).toBe(BYTES);
});

test("however many come one after the other, no more than one is held", () => {
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 200; i++) {
    giveBack(Buffer.alloc(BYTES, i));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(BYTES);
  }
});

test("small buffers, which may share their memory, stay as they are", () => {
  const pooled = Buffer.from("of the pool");
  giveBack(pooled);
  expect(pooled.toString()).toBe("of the pool");
  const small = new Uint8Array(1024).fill(7);
  giveBack(small);
  expect(small.length).toBe(1024);
});

test("memory that threads share is not ours to give", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(BYTES)).fill(7);
  giveBack(shared);
  expect(shared.at(-1)).toBe(7);
});
