import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { groupId, groupName, userId, userName } from "../../../src/base/posix-owners.ts";

describe("names of owners", () => {
  test("are those of /etc/passwd and /etc/group, both ways", () => {
    const entries = (file: string) =>
      readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.split(":"));
    for (const [name = "", , id] of entries("/etc/passwd").slice(0, 20)) {
      expect(userName(Number(id))).toBe(name);
      expect(userId(name)).toBe(Number(id));
    }
    for (const [name = "", , id] of entries("/etc/group").slice(0, 20)) {
      expect(groupName(Number(id))).toBe(name);
      expect(groupId(name)).toBe(Number(id));
    }
  });

  test("are undefined where nobody has that id or name", () => {
    for (const name of ["no-such-owner", "", "0", "root\0", "n".repeat(10_000)]) {
      expect(userId(name)).toBeUndefined();
      expect(groupId(name)).toBeUndefined();
    }
    expect(userName(4_000_000_001)).toBeUndefined();
    expect(groupName(4_000_000_001)).toBeUndefined();
  });

  test("are remembered, also that there is none", () => {
    const started = performance.now();
    for (let i = 0; i < 200_000; i++) {
      userName(0);
      userName(4_000_000_001);
    }
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
