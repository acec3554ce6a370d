import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { openBackend } from "../../../src/backend/open-backend.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import type { RestoreResult } from "../../../src/restore/options.ts";
import { planRestore } from "../../../src/restore/plan.ts";
import { runRestore } from "../../../src/restore/run.ts";
import { advanceServer } from "../../../src/sample/advance.ts";
import { SampleServer } from "../../../src/sample/sample-server.ts";
import { openPack } from "../../../src/store/pack-reader.ts";
import { PACKS_PREFIX, parsePackName } from "../../../src/store/pack-types.ts";
import { openRepository } from "../../../src/store/repository.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { compareTrees, readTree } from "../../support/tree-compare.ts";
import {
  backUp,
  comparable,
  makeServer,
  readRoot,
  restoreOptions,
  restoreTo,
  type Stored,
} from "./restore-fixture.ts";

/** Threads run from source take seconds to start where the machine is busy. */
const PATIENCE_MS = 180_000;

/** @param directory - gets the repository; undefined `threads`: message by message. */
async function restoreFrom(
  directory: string,
  { files, backup }: Stored,
  target: string,
  threads: number | undefined,
): Promise<RestoreResult> {
  for (const [name, bytes] of files) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), bytes);
  }
  const backend = await openBackend(directory);
  const repository = await openRepository(backend, { assemble: assembleMessage });
  const { objects, seal } = repository;
  const root = await readRoot(repository, backup.backup);
  const prepared = await planRestore(restoreOptions(target), root, objects);
  return await runRestore(prepared, {
    source: objects,
    clock: systemClock,
    progress: new Progress(),
    ...(threads !== undefined && { workers: { objects, backend, seal, threads } }),
  });
}

test(
  "two workers make the tree that one message after the other makes",
  async () => {
    using dir = tempDir();
    const server = dir.in("server");
    makeServer(server, { seed: 1, users: 3, messages: 420 });
    const stored = await backUp(server);
    const alone = await restoreFrom(dir.in("repository"), stored, dir.in("alone"), undefined);
    const shared = await restoreFrom(dir.in("repository"), stored, dir.in("shared"), 2);
    const counts = ({ messages, files, bytes, mailboxes, findings }: RestoreResult) => ({
      ...{ messages, files, bytes, mailboxes, findings },
    });
    expect(counts(shared)).toEqual(counts(alone));
    const given = readTree(server);
    expect(compareTrees(given, readTree(join(dir.in("shared"), server)), comparable)).toEqual([]);
    expect(compareTrees(given, readTree(join(dir.in("alone"), server)), comparable)).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  "a damaged block costs two workers what it costs one, and is named",
  async () => {
    using dir = tempDir();
    const server = dir.in("server");
    makeServer(server, { users: 3, messages: 420 });
    const stored = await backUp(server);
    const backend = await openBackend(dir.in("repository"));
    await restoreFrom(dir.in("repository"), stored, dir.in("sound"), 2);
    const repository = await openRepository(backend, { assemble: assembleMessage });
    for (const [name, bytes] of stored.files) {
      const id = name.startsWith(PACKS_PREFIX) ? parsePackName(name) : undefined;
      const pack = id && (await openPack(backend, id, repository.seal));
      if (pack?.packKind !== "data") continue;
      const { offset } = pack.directory.blockAt(0);
      bytes[offset + 40] = (bytes[offset + 40] ?? 0) ^ 4;
    }
    const alone = await restoreFrom(dir.in("repository"), stored, dir.in("alone"), undefined);
    const shared = await restoreFrom(dir.in("repository"), stored, dir.in("shared"), 2);
    expect(alone.incomplete).toBe(true);
    expect(shared.incomplete).toBe(true);
    const paths = ({ findings }: RestoreResult) => findings.map(({ code, path }) => `${code} ${path}`).sort();
    expect(paths(shared)).toEqual(paths(alone));
    expect(shared.messages).toBe(alone.messages);
  },
  PATIENCE_MS,
);

test(
  "after a first backup hardly more is opened than is needed, after thirty days not four times as much",
  async () => {
    using dir = tempDir();
    const server = dir.in("server");
    makeServer(server, { users: 4, foldersPerUser: 4, messages: 400 });
    let stored = await backUp(server);
    const share = (result: RestoreResult): number => {
      const { opened = 0, needed = 0 } = result.blocks ?? {};
      expect(needed).toBeGreaterThan(result.bytes / 4);
      return opened / needed;
    };
    const first = share(await restoreTo(dir.in("first"), stored));
    expect(first).toBeLessThanOrEqual(1.5);
    for (let day = 1; day <= 30; day++) {
      advanceServer(SampleServer.open(server), { day, share: 0.2 });
      stored = await backUp(server, stored.files);
    }
    const later = share(await restoreTo(dir.in("later"), stored));
    process.stdout.write(`opened of needed: ${first.toFixed(2)}, after 30 days ${later.toFixed(2)}\n`);
    expect(later).toBeLessThanOrEqual(4);
  },
  PATIENCE_MS,
);
