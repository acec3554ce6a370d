import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

test("docs/findings.md explains every finding code, each once, and no other", () => {
  const union = /export type FindingCode =([^;]*);/.exec(read("src/manifest/finding.ts"))?.[1] ?? "";
  const codes = [...union.matchAll(/"([a-z-]+)"/g)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(20);
  const sections = read("docs/findings.md").split(/^### /m).slice(1);
  expect(sections.map((section) => section.split("\n")[0]).sort()).toEqual(codes.sort());
  for (const section of sections)
    for (const part of ["**Means:**", "**At restore:**", "**Do:**"])
      expect(section.includes(part), section.split("\n")[0]).toBe(true);
});
