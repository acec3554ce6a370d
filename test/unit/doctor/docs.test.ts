import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CHECK_CODES } from "../../../src/doctor/check.ts";

test("docs/doctor.md explains each code, and no others", () => {
  const text = readFileSync(join(import.meta.dirname, "../../../docs/doctor.md"), "utf8");
  const explained = [...text.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code]) => code);
  expect([...new Set(explained)].sort()).toEqual([...CHECK_CODES].sort());
});
