/** Keys that may only write, as a whole: what their holders can do, what they cannot, and what others believe of them. */
import { randomBytes } from "node:crypto";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import { Keyring } from "../../../src/keys/keyring.ts";
import { decodeRoot } from "../../../src/manifest/root.ts";
import { listBackups } from "../../../src/store/backup-files.ts";
import { LoosePacks } from "../../../src/store/lookup-loose.ts";
import type { ObjectId, ObjectKind } from "../../../src/store/object.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { openPack } from "../../../src/store/pack-reader.ts";
import { PACKS_PREFIX, type PackId, packName, parsePackName } from "../../../src/store/pack-types.ts";
import { PackWriter } from "../../../src/store/pack-writer.ts";
import { rebuildIndex } from "../../../src/store/rebuild-index.ts";
import { initRepository, openRepository, type Repository } from "../../../src/store/repository.ts";
import type { KeyedSealContext } from "../../../src/store/seal-context.ts";
import type { Secret } from "../../../src/store/secret.ts";
import type { OwnPacks } from "../../../src/store/vouching.ts";
import { Site } from "../backup/site.ts";
import { mail, mailWithAttachment, type TinyMailbox } from "../backup/tiny-server.ts";
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

/** As a prune does it that writes packs anew. */
async function moveToReadersPacks({ backend: place, repository }: Site): Promise<void> {
  const names: string[] = [];
  for await (const { name } of place.list(PACKS_PREFIX)) names.push(name);
  const run = await repository.startRun({ server: "(prune)", host: "here" });
  for (const name of names) {
    const opened = await openPack(place, parsePackName(name) as PackId, repository.seal);
    const directory = opened?.directory;
    if (directory === undefined || opened?.packKind !== "meta") continue;
    for (let i = 0; i < directory.objectCount; i++) {
      const kind = directory.kindAt(i) as "meta" | "manifest";
      await run.writer.put(kind, await repository.objects.get(kind, directory.idAt(i)));
    }
    await run.writer.flush();
    await place.remove(name);
  }
  await run.abort();
  await rebuildIndex(repository, { from: "packs" });
}

/** With a secret, as a machine that has a place to keep one. */
class MemoryWithSecret extends Memory {
  readonly secret: Uint8Array = Uint8Array.from(randomBytes(32));
}

describe("a backup with such a key", () => {
  const mails = [mailWithAttachment("one", "a.bin"), mail("two")];

  async function siteWithKeys(): Promise<{
    site: Site;
    as: (password: Secret, own?: OwnPacks) => Promise<void>;
  }> {
    const site = new Site();
    onTestFinished(() => site[Symbol.dispose]());
    await initRepository(site.backend, { password: READ, scrypt: CHEAP });
    await (await Keyring.open(site.backend, READ)).addWriteOnly(WRITE, NEW);
    site.server.add("user.anna", mails);
    const as = async (password: Secret, own: OwnPacks = new Memory()) => {
      site.repository = await openRepository(site.backend, {
        assemble: assembleMessage,
        password,
        ownPacks: () => own,
      });
    };
    return { site, as };
  }

  async function requireWhole(
    site: Site,
    result: { backup: string },
    expected: readonly Buffer[],
  ): Promise<void> {
    const found = await site.messages(result, "user.anna");
    expect([...found.values()].map(({ text }) => text)).toEqual(
      expected.map((bytes) => bytes.toString("latin1")),
    );
  }

  test("is whole for a reader, costs little the second time, and nobody else builds upon it", async () => {
    const { site, as } = await siteWithKeys();
    const own = new Memory();
    await as(WRITE, own);
    const first = await site.backUp();
    await as(WRITE, own);
    const second = await site.backUp();
    expect(second.parent).toBeUndefined();
    expect(second.messages).toMatchObject({ total: 2, new: 0, read: 2 });
    expect(second.bytes.stored).toBeLessThan(first.bytes.stored / 2);
    await as(READ);
    for (const result of [first, second]) await requireWhole(site, result, mails);
    const third = await site.backUp();
    expect(third.parent).toBeUndefined();
    expect(third.messages).toMatchObject({ total: 2, read: 2 });
    const fourth = await site.backUp();
    expect(fourth.parent).toBe(third.backup);
    expect(await listBackups(site.backend)).toHaveLength(4);
  });

  test("builds upon what this machine remembers: nothing is read that has not changed, and one new message once", async () => {
    const { site, as } = await siteWithKeys();
    site.server.add("user.bert", [mail("of bert")]);
    const own = new MemoryWithSecret();
    await as(WRITE, own);
    const first = await site.backUp();
    expect(first.messages).toMatchObject({ total: 3, new: 3, read: 3 });
    await as(WRITE, own);
    const second = await site.backUp();
    expect(second.parent).toBe(first.backup);
    expect(second.messages).toMatchObject({ total: 3, new: 0, read: 0 });
    expect(second.mailboxes).toMatchObject({ total: 2, unchanged: 2, changed: 0 });
    const more = mail("three");
    site.server.append(site.server.mailboxes.get("user.anna") as TinyMailbox, more);
    await as(WRITE, own);
    const third = await site.backUp();
    expect(third.parent).toBe(second.backup);
    expect(third.messages).toMatchObject({ total: 4, new: 1, read: 1 });
    expect(third.mailboxes).toMatchObject({ unchanged: 1, changed: 1 });
    await as(READ);
    await requireWhole(site, second, mails);
    await requireWhole(site, third, [...mails, more]);
    // A reader's own does not build upon it, whoever remembers what.
    expect((await site.backUp()).parent).toBeUndefined();
  });

  test.each([
    ["its secret", (own: MemoryWithSecret) => Object.assign(new MemoryWithSecret(), { all: own.all })],
    ["everything", () => new MemoryWithSecret()],
  ])("reads everything again when the machine has lost %s", async (what, lose) => {
    const { site, as } = await siteWithKeys();
    const own = new MemoryWithSecret();
    await as(WRITE, own);
    const first = await site.backUp();
    const after = lose(own);
    await as(WRITE, after);
    const second = await site.backUp();
    expect(second.parent).toBeUndefined();
    expect(second.messages).toMatchObject({ total: 2, read: 2, new: what === "everything" ? 2 : 0 });
    if (what !== "everything") expect(second.bytes.stored).toBeLessThan(first.bytes.stored / 2);
    await as(WRITE, after);
    expect((await site.backUp()).messages).toMatchObject({ total: 2, read: 0 });
    await as(READ);
    await requireWhole(site, second, mails);
  });

  test("remembers what it needs and no more: pages and indexes open again, mail and other files do not", async () => {
    const { site, as } = await siteWithKeys();
    site.server.add("user.bert", ["a", "b", "c", "d", "e", "f", "g"]);
    site.server.file("var/lib/cyrus/user/a/anna.sieve", Buffer.alloc(3000, "a script "));
    const own = new MemoryWithSecret();
    await as(WRITE, own);
    const result = await site.backUp();
    await as(READ);
    const reader = site.repository;
    const ids: { readonly kind: ObjectKind; readonly id: ObjectId }[] = [];
    for await (const { name } of site.backend.list(PACKS_PREFIX)) {
      const opened = await openPack(site.backend, parsePackName(name) as PackId, reader.seal);
      const directory = opened?.directory;
      for (let i = 0; directory !== undefined && i < directory.objectCount; i++)
        ids.push({ kind: directory.kindAt(i), id: directory.idAt(i) });
    }
    await as(WRITE, own);
    const writer = site.repository;
    const opens = new Map<string, number>();
    for (const { kind, id } of ids) {
      const isOpen = await writer.objects.get(kind, id).then(
        () => true,
        () => false,
      );
      opens.set(`${kind} ${isOpen}`, (opens.get(`${kind} ${isOpen}`) ?? 0) + 1);
    }
    expect([...opens.keys()].sort()).toEqual([
      "data false",
      "manifest true",
      "message false",
      "meta false",
      "meta true",
    ]);
    expect(decodeRoot(await writer.readBackup(result.backup)).backup).toBe(result.backup);
    const script = (await site.files(result)).get("/var/lib/cyrus/user/a/anna.sieve");
    expect(script?.content?.form).toBe("objects");
    await expect(site.fileText(script)).rejects.toMatchObject(WRITE_ONLY);
    // Another machine with the same key opens nothing of it.
    await as(WRITE, new MemoryWithSecret());
    await expect(site.repository.readBackup(result.backup)).rejects.toMatchObject(WRITE_ONLY);
    for (const { kind, id } of ids)
      await expect(site.repository.objects.get(kind, id)).rejects.toMatchObject(WRITE_ONLY);
  });

  test("reads everything again when a reader's prune has put what it remembers into packs of its own", async () => {
    const { site, as } = await siteWithKeys();
    const own = new MemoryWithSecret();
    await as(WRITE, own);
    const first = await site.backUp();
    await as(READ);
    await moveToReadersPacks(site);
    await as(WRITE, own);
    const second = await site.backUp();
    expect(second.messages).toMatchObject({ total: 2, read: 2 });
    await as(WRITE, own);
    expect((await site.backUp()).messages).toMatchObject({ total: 2, read: 0 });
    await as(READ);
    for (const result of [first, second]) await requireWhole(site, result, mails);
  });

  test("goes on where an interrupted one has stopped", async () => {
    const { site, as } = await siteWithKeys();
    const texts = Array.from({ length: 150 }, (_, i) => `m${i}`);
    site.server.add("user.bert", texts);
    const own = new MemoryWithSecret();
    await as(WRITE, own);
    let asked = 0;
    const stop = {
      throwIfAborted: () => {
        if (++asked > 100) throw new Error("stopped");
      },
    } as unknown as AbortSignal;
    await expect(site.backUp({ checkpointMs: 0 }, { signal: stop })).rejects.toThrow("stopped");
    await as(WRITE, own);
    expect(await site.repository.listCheckpoints()).toHaveLength(1);
    const result = await site.backUp();
    expect(result.messages.total).toBe(152);
    expect(result.messages.read).toBeLessThan(90);
    expect(await site.repository.listCheckpoints()).toHaveLength(0);
    await as(READ);
    await requireWhole(site, result, mails);
    expect((await site.messages(result, "user.bert")).size).toBe(150);
  });
});
