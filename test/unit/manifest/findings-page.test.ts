import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { FINDING_CODES } from "../../../src/manifest/finding.ts";

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

test("docs/findings.md explains every finding code, each once, and no other", () => {
  const codes: string[] = [...FINDING_CODES];
  expect(codes.length).toBeGreaterThan(20);
  const sections = read("docs/findings.md").split(/^### /m).slice(1);
  expect(sections.map((section) => section.split("\n")[0]).sort()).toEqual(codes.sort());
  for (const section of sections)
    for (const part of ["**Means:**", "**At restore:**", "**Do:**"])
      expect(section.includes(part), section.split("\n")[0]).toBe(true);
});
