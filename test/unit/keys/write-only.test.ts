/** Keys that may only write, as a whole: what their holders can do, what they cannot, and what others believe of them. */
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import { Keyring } from "../../../src/keys/keyring.ts";
import { listBackups } from "../../../src/store/backup-files.ts";
import { LoosePacks } from "../../../src/store/lookup-loose.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { openPack } from "../../../src/store/pack-reader.ts";
import { PACKS_PREFIX, packName } from "../../../src/store/pack-types.ts";
import { PackWriter } from "../../../src/store/pack-writer.ts";
import { initRepository, openRepository, type Repository } from "../../../src/store/repository.ts";
import type { KeyedSealContext } from "../../../src/store/seal-context.ts";
import type { Secret } from "../../../src/store/secret.ts";
import type { OwnPacks } from "../../../src/store/vouching.ts";
import { Site } from "../backup/site.ts";
import { mail, mailWithAttachment } from "../backup/tiny-server.ts";
import { assemble, backUp, CHEAP, content, nextBackupId } from "../store/repository-fixture.ts";

const READ = "a password that reads";
const WRITE = { kind: "secret-file", bytes: content("write only", 64) } as const;
const HERE = { host: "here", isAlive: () => true };
const NEW = { nowMs: Date.now(), scrypt: CHEAP, here: HERE };
const WRITE_ONLY = { code: "KEY_WRITE_ONLY" };

class Memory implements OwnPacks {
  readonly all = new Set<string>();
  has(hex: string): boolean {
    return this.all.has(hex);
  }
  add(hex: string): void {
    this.all.add(hex);
  }
}

let backend: MemoryBackend;

async function open(secret: Secret, own: OwnPacks = new Memory()): Promise<Repository> {
  const repository = await openRepository(backend, { assemble, password: secret, ownPacks: () => own });
  onTestFinished(() => repository.close());
  return repository;
}

async function packs(): Promise<number> {
  let count = 0;
  for await (const _ of backend.list(PACKS_PREFIX)) count++;
  return count;
}

beforeEach(async () => {
  backend = new MemoryBackend();
  await initRepository(backend, { password: READ, scrypt: CHEAP });
  await (await Keyring.open(backend, READ)).addWriteOnly(WRITE, NEW);
});

describe("a key that may only write", () => {
  test("is listed as such, does not count as one that reads, and opens no other keys", async () => {
    const keyring = await Keyring.open(backend, READ);
    const keys = await keyring.list();
    expect(keys.map(({ isWriteOnly, inUse }) => [isWriteOnly, inUse]).sort()).toEqual([
      [false, true],
      [true, false],
    ]);
    await expect(Keyring.open(backend, WRITE)).rejects.toMatchObject(WRITE_ONLY);
    await expect(keyring.add(WRITE, NEW)).rejects.toMatchObject({ code: "USAGE" });
    await expect(keyring.addWriteOnly(READ, NEW)).rejects.toMatchObject({ code: "USAGE" });
    expect(await keyring.addWriteOnly(WRITE, NEW)).toMatchObject({ isNew: false });
    const second = await keyring.add("second", NEW);
    const other = await Keyring.open(backend, "second");
    const first = keys.find(({ inUse }) => inUse)?.id ?? "";
    await other.remove(await other.planRemoval([first]));
    await expect(other.planRemoval([second.id])).rejects.toMatchObject({ code: "KEY_NEEDED" });
  });

  test("stores what a reader reads, and reads nothing itself but what it stores while it is at work", async () => {
    const atWork = await open(WRITE);
    const { backup, ids } = await backUp(atWork, [content("one"), content("two")]);
    expect(await atWork.objects.get("data", ids[0] as ObjectId)).toEqual(content("one"));
    const writer = await open(WRITE);
    await expect(writer.readBackup(backup)).rejects.toMatchObject(WRITE_ONLY);
    await expect(writer.objects.get("data", ids[0] as ObjectId)).rejects.toMatchObject(WRITE_ONLY);
    const reader = await open(READ);
    expect(await reader.objects.get("data", ids[1] as ObjectId)).toEqual(content("two"));
    expect((await reader.readBackup(backup)).toString()).toContain("page");
    await expect(reader.readBackup(backup, "readers")).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
    const readers = await backUp(reader, [content("three")]);
    for (const blind of [writer, atWork])
      await expect(blind.objects.get("data", readers.ids[0] as ObjectId)).rejects.toMatchObject(WRITE_ONLY);
  });

  test("stores nothing a second time that it has stored itself", async () => {
    const own = new Memory();
    const contents = [content("one"), content("two")];
    expect((await backUp(await open(WRITE, own), contents)).stored).toBe(2);
    expect(own.all.size).toBe(await packs());
    expect((await backUp(await open(WRITE, own), contents)).stored).toBe(0);
    // Its memory lost, or another machine's: everything again.
    expect((await backUp(await open(WRITE), contents)).stored).toBe(2);
  });

  test("is refused while a run is at work that knows nothing of such keys", async () => {
    const before = new MemoryBackend();
    await initRepository(before, { password: READ, scrypt: CHEAP });
    const repository = await openRepository(before, { assemble, password: READ });
    const run = await repository.startRun({ server: "s", host: "here" });
    const keyring = await Keyring.open(before, READ);
    await expect(keyring.addWriteOnly(WRITE, NEW)).rejects.toMatchObject({ code: "LOCKED" });
    await expect(Keyring.open(before, WRITE)).rejects.toMatchObject({ code: "PASSWORD_WRONG" });
    await run.abort();
    const again = await Keyring.open(before, READ);
    expect(await again.addWriteOnly(WRITE, NEW)).toMatchObject({ isNew: true });
    await repository.close();
  });
});

/** What somebody does who holds such a key and means ill: other bytes under the id of what others will store. */
async function plant(victim: Buffer, own?: OwnPacks): Promise<ObjectId> {
  const writer = await open(WRITE, own);
  const id = new ObjectHasher(writer.seal).id("data", victim);
  const run = await writer.startRun({ server: "evil", host: "there" });
  await run.writer.claim("data", [id]);
  const pack = new PackWriter(writer.seal, { packKind: "data", compression: "fast" });
  const sink = await run.writer.beginPack(pack.packId, "data");
  await sink.append(pack.header());
  pack.add({ kind: "data", id, head: Buffer.from("poison"), tail: new Uint8Array(0), references: [] });
  await sink.append(pack.finish());
  await sink.commit(pack.directory());
  await run.commit(nextBackupId(), Buffer.from("{}"));
  return id;
}

describe("poison under a known id", () => {
  const victim = content("a mail that others will get");

  test.each([
    ["a reader", READ],
    ["another writer", WRITE],
  ] as const)("is not deduplicated against by %s", async (_, secret) => {
    const id = await plant(victim);
    const repository = await open(secret);
    expect((await backUp(repository, [victim])).stored).toBe(1);
    const reader = await open(READ);
    expect(await reader.objects.get("data", id)).toEqual(victim);
  });

  test("is not deduplicated against by whoever opened the repository before there were such keys", async () => {
    const before = new MemoryBackend();
    backend = before;
    await initRepository(before, { password: READ, scrypt: CHEAP });
    const early = await open(READ);
    await (await Keyring.open(before, READ)).addWriteOnly(WRITE, NEW);
    await plant(victim);
    expect((await backUp(early, [victim])).stored).toBe(1);
  });

  test("in a segment that lies about a pack of a reader's is not believed", async () => {
    const reader = await open(READ);
    const { backup } = await backUp(reader, [content("honest")]);
    expect(backup).toBeDefined();
    const writer = await open(WRITE);
    await writer.lookup.ready();
    const id = new ObjectHasher(writer.seal).id("data", victim);
    const fake = new PackWriter(writer.seal, { packKind: "data", compression: "fast" });
    fake.header();
    fake.add({ kind: "data", id, head: victim, tail: new Uint8Array(0), references: [] });
    fake.finish();
    const [slot] = [...writer.lookup.packs.live()].filter(({ packKind }) => packKind === "data");
    if (slot === undefined) throw new Error("there is a pack");
    const loose = new LoosePacks();
    loose.add(slot, "data", fake.directory());
    await loose.write(
      backend,
      writer.sealer,
      writer.lookup.segments.map((segment) => segment.id),
    );
    const again = await open(READ);
    await again.lookup.ready();
    expect(await again.lookup.known([id])).toEqual([true]);
    expect((await backUp(again, [victim])).stored).toBe(1);
  });

  test("in a pack that says it is a reader's is damage", async () => {
    const { epochs, sealTo, ...rest } = (await open(WRITE)).seal as KeyedSealContext;
    expect([epochs.length, sealTo?.number]).toEqual([0, 1]);
    const forging = { ...rest, epochs: [{ number: 1, contentKey: content("any key", 32) }] };
    const pack = new PackWriter(forging, { packKind: "data", compression: "fast" });
    const id = new ObjectHasher(forging).id("data", victim);
    const parts = [pack.header()];
    pack.add({ kind: "data", id, head: Buffer.from("poison"), tail: new Uint8Array(0), references: [] });
    parts.push(pack.finish());
    await backend.create(packName(pack.packId), Buffer.concat(parts));
    const reader = await open(READ);
    await expect(openPack(backend, pack.packId, reader.seal)).rejects.toMatchObject({
      code: "REPOSITORY_DAMAGED",
    });
    // Who may only write cannot tell: it believes in its own packs alone.
    for (const secret of [WRITE, READ]) expect((await backUp(await open(secret), [victim])).stored).toBe(1);
    expect(await (await open(READ)).objects.get("data", id)).toEqual(victim);
  });

  test("does not keep readers from deduplicating against each other", async () => {
    await plant(content("something else"));
    expect((await backUp(await open(READ), [victim])).stored).toBe(1);
    expect((await backUp(await open(READ), [victim])).stored).toBe(0);
  });
});

describe("a backup with such a key", () => {
  test("is whole for a reader, costs little the second time, and nobody else builds upon it", async () => {
    using site = new Site();
    await initRepository(site.backend, { password: READ, scrypt: CHEAP });
    await (await Keyring.open(site.backend, READ)).addWriteOnly(WRITE, NEW);
    const own = new Memory();
    const as = async (password: Secret) => {
      site.repository = await openRepository(site.backend, {
        assemble: assembleMessage,
        password,
        ownPacks: () => own,
      });
    };
    const mails = [mailWithAttachment("one", "a.bin"), mail("two")];
    site.server.add("user.anna", mails);
    await as(WRITE);
    const first = await site.backUp();
    await as(WRITE);
    const second = await site.backUp();
    expect(second.parent).toBeUndefined();
    expect(second.messages).toMatchObject({ total: 2, new: 0, read: 2 });
    expect(second.bytes.stored).toBeLessThan(first.bytes.stored / 2);
    await as(READ);
    for (const result of [first, second]) {
      const found = await site.messages(result, "user.anna");
      expect([...found.values()].map(({ text }) => text)).toEqual(
        mails.map((bytes) => bytes.toString("latin1")),
      );
    }
    const third = await site.backUp();
    expect(third.parent).toBeUndefined();
    expect(third.messages).toMatchObject({ total: 2, read: 2 });
    const fourth = await site.backUp();
    expect(fourth.parent).toBe(third.backup);
    expect(await listBackups(site.backend)).toHaveLength(4);
  });
});
