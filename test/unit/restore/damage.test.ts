import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import type { RestoreOptions, RestoreResult } from "../../../src/restore/options.ts";
import { type OpenedPack, openPack } from "../../../src/store/pack-reader.ts";
import { PACKS_PREFIX, parsePackName } from "../../../src/store/pack-types.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { readTree, type Tree } from "../../support/tree-compare.ts";
import {
  backUp,
  makeServer,
  messageFiles,
  openStored,
  restoreTo,
  type Stored,
  timeOf,
} from "./restore-fixture.ts";

let made: TempDir;
let server: string;
let stored: Stored;
let tree: Tree;
let packs: { readonly name: string; readonly pack: OpenedPack }[];

beforeAll(async () => {
  made = tempDir();
  server = made.in("server");
  makeServer(server);
  // Of many pieces, and one that is in no block alone.
  writeFileSync(join(server, "conf/large"), Buffer.alloc(3_000_000, "0123456789abcdef\n"));
  tree = readTree(server);
  stored = await backUp(server);
  const repository = await openStored(stored.files);
  packs = [];
  for (const name of stored.files.keys()) {
    const id = name.startsWith(PACKS_PREFIX) ? parsePackName(name) : undefined;
    if (id === undefined) continue;
    const pack = await openPack(new MemoryBackend(stored.files), id, repository.seal);
    if (pack !== undefined) packs.push({ name, pack });
  }
  await repository.close();
});

afterAll(() => made.remove());

/** Restores what is left. @returns how many of the server's files came back; each of them as it was. */
async function restoreDamaged(
  files: Map<string, Buffer>,
  options: Partial<RestoreOptions> = {},
): Promise<{ result: RestoreResult; restored: number }> {
  using target = tempDir();
  mkdirSync(join(target.path, server), { recursive: true });
  const result = await restoreTo(target.path, { ...stored, files }, options);
  let restored = 0;
  for (const [path, { type, sha256, sizeBytes }] of readTree(join(target.path, server))) {
    if (type !== "file") continue;
    restored++;
    expect({ path, sha256, sizeBytes }).toEqual({
      path,
      sha256: tree.get(path)?.sha256,
      sizeBytes: tree.get(path)?.sizeBytes,
    });
  }
  return { result, restored };
}

function flipped(name: string, offset: number): Map<string, Buffer> {
  const bytes = Buffer.from(stored.files.get(name) ?? "");
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  return new Map(stored.files).set(name, bytes);
}

function expectNamed({ findings, incomplete }: RestoreResult): void {
  expect(incomplete).toBe(true);
  expect(findings.length).toBeGreaterThan(0);
  expect(findings.filter(({ code, severity }) => code !== "object-damaged" || severity !== "error")).toEqual(
    [],
  );
}

test("one flipped byte in any block is named, and never restored", async () => {
  const whole = (await restoreDamaged(stored.files)).restored;
  let blocks = 0;
  for (const { name, pack } of packs) {
    for (let block = 0; block < pack.directory.blockCount; block++) {
      const { offset, storedBytes } = pack.directory.blockAt(block);
      const { result, restored } = await restoreDamaged(flipped(name, offset + ((storedBytes * 2) >> 2)));
      expectNamed(result);
      expect(restored).toBeLessThan(whole);
      blocks++;
    }
  }
  expect(blocks).toBeGreaterThan(3);
});

test("a pack that is missing, or whose directory is damaged, costs what it held", async () => {
  for (const { name } of packs) {
    const without = new Map(stored.files);
    without.delete(name);
    const missing = await restoreDamaged(without);
    expectNamed(missing.result);
    const size = stored.files.get(name)?.length ?? 0;
    const unreadable = await restoreDamaged(flipped(name, size - 40));
    expectNamed(unreadable.result);
    expect(unreadable.restored).toBe(missing.restored);
  }
});

test("what is damaged does not stand in the way of what is not", async () => {
  const data = packs.filter(({ pack }) => pack.packKind === "data");
  const without = new Map(stored.files);
  for (const { name } of data) without.delete(name);
  const { result, restored } = await restoreDamaged(without);
  expectNamed(result);
  expect(result.messages).toBe(0);
  expect(result.mailboxes).toBe(stored.backup.mailboxes.total);
  const files = [...tree.values()].filter(({ type }) => type === "file").length;
  expect(restored).toBeGreaterThan((files - messageFiles(server).length) / 2);
});

test("nobody's mailbox is called unknown when it may be among those that cannot be read", async () => {
  const without = new Map(stored.files);
  for (const { name, pack } of packs) if (pack.packKind === "meta") without.delete(name);
  await expect(restoreDamaged(without, { users: [fromText("anna")] })).rejects.toMatchObject({
    code: "REPOSITORY_DAMAGED",
  });
});

test("a file that is there survives when what should replace it is damaged", async () => {
  using target = tempDir();
  await restoreTo(target.path, stored);
  const mine = messageFiles(server).map((path) => join(target.path, path));
  for (const path of mine) writeFileSync(path, "other, but better than nothing");
  const without = new Map(stored.files);
  for (const { name, pack } of packs) if (pack.packKind === "data") without.delete(name);
  const result = await restoreTo(target.path, { ...stored, files: without }, { overwrite: "if-different" });
  expectNamed(result);
  for (const path of mine) expect(readFileSync(path, "utf8")).toBe("other, but better than nothing");
});

test("a message that was damaged at the source comes back as it was when it was good, and is named", async () => {
  using dir = tempDir();
  const own = dir.in("server");
  makeServer(own);
  const [path = ""] = messageFiles(own);
  const good = readFileSync(path);
  const { files } = await backUp(own);
  const bad = Buffer.from(good);
  bad[bad.length - 5] = (bad[bad.length - 5] ?? 0) ^ 1;
  writeFileSync(path, bad);
  const time = timeOf(path);
  const second = await backUp(own, files, { scrub: 1 });

  const result = await restoreTo(dir.in("target"), second);

  expect(result.findings).toMatchObject([{ code: "good-copy", severity: "warning", path }]);
  expect(result.incomplete).toBe(false);
  expect(readFileSync(join(dir.in("target"), path))).toEqual(good);
  expect(timeOf(join(dir.in("target"), path))).toBe(time);
});
