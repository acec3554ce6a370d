import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { OwnPacksFile } from "../../../src/cli/own-packs.ts";

const REPOSITORY = "5a".repeat(16);
const pack = (byte: string) => byte.repeat(32);

test("the secret is made once for each repository, for the owner alone, and again where it is cut", () => {
  const directory = mkdtempSync(join(tmpdir(), "cyrvault-own-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const cache = join(directory, "cache");
  const failures: Error[] = [];
  const open = (at = cache, repository = REPOSITORY) =>
    new OwnPacksFile(at, repository, (error) => failures.push(error)).secret;
  const first = open();
  expect(first).toHaveLength(32);
  expect(open()).toEqual(first);
  expect(open(cache, "00".repeat(16))).not.toEqual(first);
  const path = join(cache, `own-secret-${REPOSITORY}`);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(cache)).toHaveLength(2);
  truncateSync(path, 20);
  const second = open();
  expect(second).toHaveLength(32);
  expect(second).not.toEqual(first);
  expect(open()).toEqual(second);
  expect(failures).toEqual([]);
  expect(open(join(path, "below a file"))).toBeUndefined();
  expect(failures).toHaveLength(1);
});

test("the packs that were stored are remembered, also after a power cut in the middle of one", () => {
  const directory = mkdtempSync(join(tmpdir(), "cyrvault-own-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const cache = join(directory, "cache");
  const failures: Error[] = [];
  const open = (at = cache, repository = REPOSITORY) =>
    new OwnPacksFile(at, repository, (error) => failures.push(error));
  const first = open();
  expect(first.has(pack("aa"))).toBe(false);
  first.add(pack("aa"));
  first.add(pack("aa"));
  const path = join(cache, `own-packs-${REPOSITORY}`);
  expect(readFileSync(path)).toHaveLength(32);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  appendFileSync(path, Buffer.alloc(11));
  open().add(pack("bb"));
  const last = open();
  expect(["aa", "bb", "00"].map((byte) => last.has(pack(byte)))).toEqual([true, true, false]);
  expect(open(cache, "00".repeat(16)).has(pack("aa"))).toBe(false);
  expect(failures).toEqual([]);
  const nowhere = open(join(path, "below a file"));
  nowhere.add(pack("cc"));
  expect(nowhere.has(pack("cc"))).toBe(true);
  expect(failures.map((error) => error.message)).toContainEqual(expect.stringContaining("cannot write"));
});
