import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { EntrySum } from "../../../src/check/entry-sum.ts";
import { type CheckResult, runCheck } from "../../../src/check/run.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import { newKeySet } from "../../../src/store/key-set.ts";
import { makeKeyFile } from "../../../src/store/keys.ts";
import { openRepository } from "../../../src/store/repository.ts";
import { Site } from "../backup/site.ts";
import { mailWithAttachment } from "../backup/tiny-server.ts";
import { storeBackup } from "../inspect/tiny-backup.ts";
import { assemble, CHEAP, names, newPlain, openPlain } from "../store/repository-fixture.ts";

const MAILBOXES = [
  {
    name: "user.anna",
    messages: { 1: "Subject: one\r\n\r\n1", 2: "Subject: two\r\n\r\n2" },
    index: randomBytes(700),
  },
  { name: "user.berta", messages: { 9: "nine" } },
];

async function repositoryOnDisk(): Promise<MemoryBackend> {
  const backend = new MemoryBackend();
  const repository = await newPlain(backend);
  await storeBackup(repository, { mailboxes: MAILBOXES });
  await storeBackup(repository, { mailboxes: MAILBOXES.slice(0, 1), server: "another" });
  await repository.close();
  return backend;
}

async function check(backend: MemoryBackend, readDataPercent = 0): Promise<CheckResult> {
  const repository = await openPlain(backend);
  return await runCheck(
    { readDataPercent },
    { repository, assemble, clock: systemClock, progress: new Progress() },
  );
}

async function flip(backend: MemoryBackend, name: string, at: number): Promise<void> {
  const bytes = await backend.read(name, 1 << 30);
  if (bytes === undefined) throw new Error(`no ${name}`);
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] as number) ^ 0x10;
  await backend.replace(name, changed);
}

describe("check", () => {
  test("a sound repository has no errors, and is read only on request", async () => {
    const backend = await repositoryOnDisk();
    const quick = await check(backend);
    expect(quick).toMatchObject({ errors: [], errorsTotal: 0, backups: 2, bytesRead: 0 });
    expect(quick.packs).toBe((await names(backend, "packs/")).length);
    expect(quick.objects).toBeGreaterThan(5);
    const full = await check(backend, 100);
    expect(full.errors).toEqual([]);
    expect(full.bytesRead).toBeGreaterThan(0);
  });

  test("what a message refers to in its own pack is not looked for", async () => {
    using site = await Site.make();
    const mails = Array.from({ length: 40 }, (_, i) => mailWithAttachment(`mail ${i}`, `part ${i}`, 9000));
    site.server.add("user.anna", mails);
    await site.backUp();
    const repository = await openRepository(site.backend, { assemble: assembleMessage });
    const lookFor = vi.spyOn(repository.lookup, "candidates");
    const context = { repository, assemble: assembleMessage, clock: systemClock, progress: new Progress() };
    const { errors, objects } = await runCheck({ readDataPercent: 0 }, context);
    expect(errors).toEqual([]);
    expect(objects).toBeGreaterThan(80);
    expect(lookFor.mock.calls.length).toBeLessThan(20);
  });

  test("a share of the data is at least one pack and not all", async () => {
    const backend = await repositoryOnDisk();
    const some = await check(backend, 1);
    const full = await check(backend, 100);
    expect(some.bytesRead).toBeGreaterThan(0);
    expect(some.bytesRead).toBeLessThan(full.bytesRead);
  });

  test("every pack that is missing is noticed", async () => {
    const packs = await names(await repositoryOnDisk(), "packs/");
    expect(packs.length).toBeGreaterThan(1);
    for (let i = 0; i < packs.length; i++) {
      const backend = await repositoryOnDisk();
      const name = (await names(backend, "packs/"))[i] as string;
      await backend.remove(name);
      const { errors, missingPacks } = await check(backend);
      expect(errors.map(({ code }) => code)).toContain("OBJECT_MISSING");
      expect(missingPacks).toEqual([name]);
    }
  });

  test("what is missing is named by mailbox and UID", async () => {
    const backend = await repositoryOnDisk();
    const errors: string[] = [];
    for (const pack of await names(backend, "packs/")) {
      const bytes = await backend.read(pack, 1 << 30);
      await backend.remove(pack);
      for (const { path } of (await check(backend)).errors) errors.push(path ?? "");
      await backend.create(pack, bytes as Buffer);
    }
    expect(errors).toContain("user.berta, UID 9");
    expect((await check(backend)).errors).toEqual([]);
  });

  test("one flipped byte anywhere in packs, segments and backups is found", async () => {
    const backend = await repositoryOnDisk();
    const files = (
      await Promise.all(["packs/", "segments/", "backups/"].map((prefix) => names(backend, prefix)))
    ).flat();
    expect(files.length).toBeGreaterThan(4);
    for (const name of files) {
      const length = (await backend.size(name)) ?? 0;
      for (let i = 0; i < 12; i++) {
        const at = i === 0 ? 0 : i === 1 ? length - 1 : Math.floor((length * i) / 12);
        await flip(backend, name, at);
        const { errors } = await check(backend, 100);
        expect(errors, `${name} at ${at}`).not.toEqual([]);
        await flip(backend, name, at);
      }
    }
    expect((await check(backend, 100)).errors).toEqual([]);
  });

  test("a segment that is lost or cut short is noticed without reading data", async () => {
    const backend = await repositoryOnDisk();
    const segments = await names(backend, "segments/");
    expect(segments.length).toBeGreaterThan(0);
    for (const name of segments) {
      const bytes = (await backend.read(name, 1 << 30)) as Buffer;
      await backend.remove(name);
      const { errors } = await check(backend);
      expect(errors.map(({ message }) => message).join("\n")).toContain("no segment covers");
      for (const length of [0, 1, bytes.length >> 1, bytes.length - 1]) {
        await backend.create(name, bytes.subarray(0, length));
        expect((await check(backend)).errors.map(({ path }) => path)).toContain(name);
        await backend.remove(name);
      }
      await backend.create(name, bytes);
    }
    expect((await check(backend)).errors).toEqual([]);
  });

  test("a pack or backup that is cut short anywhere is noticed without reading data", async () => {
    const backend = await repositoryOnDisk();
    for (const name of [...(await names(backend, "packs/")), ...(await names(backend, "backups/"))]) {
      const bytes = (await backend.read(name, 1 << 30)) as Buffer;
      for (const length of [0, 1, 100, bytes.length >> 1, bytes.length - 1]) {
        await backend.replace(name, bytes.subarray(0, length));
        expect((await check(backend)).errors, `${name} cut at ${length}`).not.toEqual([]);
      }
      await backend.replace(name, bytes);
    }
    expect((await check(backend)).errors).toEqual([]);
  });

  test("what a checkpoint needs is looked at too, and needs no segment", async () => {
    const backend = await repositoryOnDisk();
    const repository = await openPlain(backend);
    const run = await repository.startRun({ server: "third", host: "here" });
    const id = (await names(backend, "backups/"))[0]?.slice("backups/".length) as string;
    await run.checkpoint(await repository.readBackup(id));
    expect((await check(backend)).errors).toEqual([]);
    const name = (await names(backend, "checkpoints/"))[0] as string;
    await flip(backend, name, ((await backend.size(name)) as number) - 20);
    expect((await check(backend)).errors.map(({ path }) => path)).toEqual([name]);
    await run.abort();
  });

  test("a damaged key file is named even if another one opens the repository", async () => {
    const backend = await repositoryOnDisk();
    const keyFile = await makeKeyFile(newKeySet(), "one more", { createdMs: 0, cost: CHEAP });
    await backend.create(keyFile.name, keyFile.bytes);
    expect((await check(backend)).errors).toEqual([]);
    await flip(backend, keyFile.name, 40);
    expect((await check(backend)).errors.map(({ path }) => path)).toEqual([keyFile.name]);
  });

  test("records of runs that cannot be read are named", async () => {
    const backend = await repositoryOnDisk();
    await backend.create("runs/20260101T000000Z-00112233", Buffer.from("nonsense"));
    await backend.create("gc/00000001", Buffer.from("nonsense"));
    const { errors } = await check(backend);
    expect(errors.map(({ path }) => path)).toEqual(["runs/20260101T000000Z-00112233", "gc/"]);
  });

  test("it stops when it is told to", async () => {
    const repository = await openPlain(await repositoryOnDisk());
    const signal = AbortSignal.abort(new Error("stop"));
    const context = { repository, assemble, clock: systemClock, progress: new Progress(), signal };
    await expect(runCheck({ readDataPercent: 0 }, context)).rejects.toThrow("stop");
  });
});

test("sums of entries do not depend on their order and differ with any entry", () => {
  const entry = fc.record({ id: fc.uint8Array({ minLength: 20, maxLength: 20 }), ordinal: fc.nat(1 << 20) });
  const sumOf = (entries: readonly { id: Uint8Array; ordinal: number }[]) => {
    const sum = new EntrySum();
    for (const { id, ordinal } of entries) sum.add(Buffer.from(id), 0, ordinal);
    return sum;
  };
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 20 }), fc.nat(19), (entries, byte) => {
      expect(sumOf(entries).equals(sumOf([...entries].reverse()))).toBe(true);
      const [first, ...rest] = entries as [{ id: Uint8Array; ordinal: number }];
      const id = Uint8Array.from(first.id);
      id[byte] = (id[byte] as number) ^ 1;
      expect(sumOf(entries).equals(sumOf([{ ...first, id }, ...rest]))).toBe(false);
      expect(sumOf(entries).equals(sumOf([{ ...first, ordinal: first.ordinal + 1 }, ...rest]))).toBe(false);
      expect(sumOf(entries).equals(sumOf(rest))).toBe(false);
    }),
  );
});
