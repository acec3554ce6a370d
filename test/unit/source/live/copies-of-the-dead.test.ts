import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fromText } from "../../../../src/base/byte-string.ts";
import { CopyPlace, removeCopiesOfTheDead } from "../../../../src/source/live/copies.ts";
import { SourceFile } from "../../../../src/source/read-file.ts";
import { type TempDir, tempDir } from "../../../support/temp-dir.ts";

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir.remove());

test("copies that a killed run has left are removed, those of whoever runs are not", () => {
  const { pid } = spawnSync("true");
  const dead = `cyrvault-live-${pid}-abcdef`;
  mkdirSync(dir.in(dead));
  writeFileSync(dir.in(`${dead}/1`), "mail");
  mkdirSync(dir.in(`cyrvault-live-${pid}-recent`));
  const long = new Date(Date.now() - 7_200_000);
  utimesSync(dir.in(dead), long, long);
  mkdirSync(dir.in("cyrvault-live-strange"));
  mkdirSync(dir.in(`cyrvault-live-${process.ppid}-abcdef`));
  writeFileSync(dir.in("message"), "mail");
  const place = new CopyPlace(dir.path);
  const source = SourceFile.open(fromText(dir.in("message")));
  if (source !== undefined) place.copyNamed(source);
  source?.close();
  const own = readdirSync(dir.path).find((name) => name.startsWith(`cyrvault-live-${process.pid}-`));
  expect(own).toBeDefined();
  removeCopiesOfTheDead(dir.path);
  expect(readdirSync(dir.path).sort()).toEqual(
    [
      own,
      `cyrvault-live-${pid}-recent`,
      "cyrvault-live-strange",
      `cyrvault-live-${process.ppid}-abcdef`,
      "message",
    ].sort(),
  );
  place.close();
  removeCopiesOfTheDead(dir.in("nowhere"));
});
