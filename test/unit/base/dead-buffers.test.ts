import { expect, test } from "vitest";
import { DeadBuffers } from "../../../src/base/dead-buffers.ts";

test("dead buffers are given back before they come to more than was said", () => {
  const MIB = 1024 * 1024;
  const dead = new DeadBuffers(8 * MIB);
  dead.note(9 * MIB);
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let i = 0; i < 64; i++) {
    Buffer.allocUnsafeSlow(MIB).fill(i);
    dead.note(MIB);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(most).toBeLessThan(16 * MIB);
});
