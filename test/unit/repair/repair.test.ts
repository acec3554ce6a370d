import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { decodeRoot, encodeRoot } from "../../../src/manifest/root.ts";
import { newTimedId } from "../../../src/store/backup-files.ts";
import { forgottenName, readForgotten, undeleteBackup } from "../../../src/store/forgotten.ts";
import { readGcState } from "../../../src/store/gc-record.ts";
import { newKeySet } from "../../../src/store/key-set.ts";
import { makeKeyFile } from "../../../src/store/keys.ts";
import { packName } from "../../../src/store/pack-types.ts";
import { initRepository } from "../../../src/store/repository.ts";
import { sealRun } from "../../../src/store/run-record.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import { Site } from "../backup/site.ts";
import { mail, mailWithAttachment } from "../backup/tiny-server.ts";
import { CHEAP } from "../store/repository-fixture.ts";
import {
  check,
  copyOf,
  type Files,
  flip,
  namesOf,
  open,
  PASSWORD,
  repair,
  restore,
  Vault,
} from "./repair-fixture.ts";

/** Where a message or its first part lies: pack and a byte in its block. */
async function placeOf(
  files: Files,
  backup: string,
  mailbox: string,
  uid: number,
  what: "message" | "part" = "message",
): Promise<{ name: string; at: number }> {
  using site = new Site();
  site.repository = await open(files);
  const stored = (await site.messages({ backup }, mailbox)).get(uid);
  if (stored === undefined) throw new Error("no such message");
  const { objects } = site.repository;
  const info = await objects.info("message", stored.entry.object);
  const copy =
    what === "part"
      ? await objects.locate("data", info?.references[0] as never)
      : await objects.locate("message", stored.entry.object);
  if (copy === undefined) throw new Error("not found");
  const { block } = copy.pack.directory.place(copy.ordinal);
  return { name: packName(copy.pack.packId), at: copy.pack.directory.blockAt(block).offset + 10 };
}

/** Where the page of a mailbox's messages, or of the files, lies. */
async function pageOf(files: Files, backup: string, what: "files" | "messages"): Promise<string> {
  using site = new Site();
  site.repository = await open(files);
  const page =
    what === "files"
      ? (await site.root({ backup })).files.page
      : (await site.mailboxes({ backup })).get("user.anna")?.messagePages.page;
  const copy = await site.repository.objects.locate("manifest", page as never);
  if (copy === undefined) throw new Error("not found");
  return packName(copy.pack.packId);
}

const withoutTimes = (files: Files) =>
  [...files]
    .filter(([name]) => !name.startsWith("verified-times/"))
    .map(([name, bytes]) => [name, bytes.toString("hex")]);

describe("a repair", () => {
  test("of a sound repository has nothing to do", async () => {
    using vault = await Vault.make(false);
    const before = withoutTimes(vault.files);
    expect(await repair(vault.files, { spool: vault.spool })).toBeUndefined();
    expect(withoutTimes(vault.files)).toEqual(before);
  });

  test("that is only planned says the same and changes nothing", async () => {
    using vault = await Vault.make(true);
    const { name, at } = await placeOf(vault.files, vault.backups[0] as string, "user.bob", 1, "part");
    flip(vault.files, name, at);
    const before = withoutTimes(vault.files);
    const plan = await repair(vault.files, { dryRun: true });
    expect(withoutTimes(vault.files)).toEqual(before);
    expect(plan).toMatchObject({ dryRun: true, setAside: [name] });
    expect(plan?.lostTotal).toBeGreaterThan(0);
    const done = await repair(vault.files);
    expect(done).toMatchObject({ dryRun: false, setAside: [name], lostTotal: plan?.lostTotal });
    expect(done?.saved).toEqual(plan?.saved);
  });

  test("takes what a block lost from the server, saves the rest of the pack, and keeps the pack aside", async () => {
    using vault = await Vault.make(true);
    const sound = await restore(vault.files, vault.backups[1] as string);
    const { name, at } = await placeOf(vault.files, vault.backups[0] as string, "user.bob", 1, "part");
    flip(vault.files, name, at);
    const damaged = vault.files.get(name);
    const result = await repair(vault.files, { spool: vault.spool });
    expect(result).toMatchObject({ lostTotal: 0, backups: [], setAside: [name], kept: [] });
    expect(result?.taken.fromSpool).toBeGreaterThan(0);
    expect(result?.saved.objects).toBeGreaterThan(0);
    expect(vault.files.has(name)).toBe(false);
    expect(vault.files.get(`damaged/${name}`)).toEqual(damaged);
    expect((await check(vault.files)).errors).toEqual([]);
    expect(await restore(vault.files, vault.backups[1] as string)).toEqual(sound);
    expect(await repair(vault.files)).toBeUndefined();
  });

  test("takes messages and files from a repository with other keys, by their names", async () => {
    using vault = await Vault.make(true);
    const other: Files = new Map();
    await initRepository(new MemoryBackend(other), { password: PASSWORD, scrypt: CHEAP });
    await vault.backUp(other);
    const sound = await restore(vault.files, vault.backups[0] as string);
    const place = await placeOf(vault.files, vault.backups[0] as string, "user.anna", 1);
    vault.files.delete(place.name);
    const result = await repair(vault.files, { other });
    expect(result).toMatchObject({ lostTotal: 0, backups: [] });
    expect(result?.taken.fromRepository).toBeGreaterThan(3);
    expect((await check(vault.files)).errors).toEqual([]);
    expect(await restore(vault.files, vault.backups[0] as string)).toEqual(sound);
  });

  test("leaves nothing that a check finds wrong where messages of other packs had what is lost as a part", async () => {
    using vault = await Vault.make(false);
    const [first = ""] = vault.backups;
    const anna = vault.server.mailboxes.get("user.anna");
    if (anna === undefined) throw new Error("no anna");
    vault.server.append(anna, mailWithAttachment("six", "shared", 9000));
    vault.backups.push(await vault.backUp());
    const place = await placeOf(vault.files, first, "user.anna", 2, "part");
    flip(vault.files, place.name, place.at);
    expect((await repair(vault.files))?.lostTotal).toBeGreaterThan(0);
    expect(await check(vault.files)).toMatchObject({ errors: [], remnants: 1 });
    const last = namesOf(vault.files, "backups/").at(-1)?.slice("backups/".length) as string;
    const restored = await restore(vault.files, last);
    expect(restored.named.size).toBeGreaterThan(0);
    await vault.backUp();
    expect(await check(vault.files)).toMatchObject({ errors: [], remnants: 0 });
  });

  test("takes nothing that has other bytes now", async () => {
    using vault = await Vault.make(false);
    const bob = vault.server.mailboxes.get("user.bob");
    if (bob === undefined) throw new Error("no bob");
    const place = await placeOf(vault.files, vault.backups[0] as string, "user.bob", 2);
    writeFileSync(vault.server.message(bob, 2), mail("something else"));
    vault.files.delete(place.name);
    const result = await repair(vault.files, { spool: vault.spool });
    const lost = result?.lost.map(({ mailbox, uid }) => `${mailbox} ${uid}`);
    expect(new Set(lost)).toEqual(new Set(["user.bob 2"]));
  });
});

describe("what is lost for good", () => {
  test("is cut out once, though the repair breaks off before the old backup is forgotten", async () => {
    using vault = await Vault.make(true);
    const place = await placeOf(vault.files, vault.backups[1] as string, "user.anna", 5);
    vault.files.delete(place.name);
    const broken = repair(vault.files, {
      wrap: (backend) =>
        faultyBackend(backend, {
          failAt: (_, operation, name) => operation === "replace" && name.startsWith("forgotten/"),
        }),
    });
    await expect(broken).rejects.toMatchObject({ code: "IO" });
    const made = namesOf(vault.files, "backups/");
    expect(made).toHaveLength(3);
    const result = await repair(vault.files);
    const [{ backup, became } = { backup: "", became: "" }] = result?.backups ?? [];
    expect(made).toContain(`backups/${became}`);
    expect(namesOf(vault.files, "backups/")).toEqual(made.filter((name) => name !== `backups/${backup}`));
    expect((await check(vault.files)).errors).toEqual([]);
    // The old one, brought back, is cut again: what stands for it stands already.
    await undeleteBackup(await open(vault.files), backup);
    expect((await repair(vault.files))?.backups).toMatchObject([{ backup, became }]);
    expect(namesOf(vault.files, "backups/")).toHaveLength(2);
  });

  test("is cut out of the backups that had it, named there and at restore, and the old backups wait in forgotten/", async () => {
    using vault = await Vault.make(true);
    const sound = await restore(vault.files, vault.backups[0] as string);
    const place = await placeOf(vault.files, vault.backups[0] as string, "user.anna", 1);
    const roots = new Map(vault.backups.map((id) => [id, vault.files.get(`backups/${id}`)]));
    vault.files.delete(place.name);
    const result = await repair(vault.files);
    expect(result?.backups.map(({ backup }) => backup).sort()).toEqual([...vault.backups].sort());
    expect(namesOf(vault.files, "forgotten/")).toEqual(vault.backups.map(forgottenName).sort());
    const repository = await open(vault.files);
    const [first = ""] = vault.backups;
    const forgotten = await readForgotten(repository, first);
    expect(decodeRoot(forgotten?.bytes as Buffer).backup).toBe(first);
    expect(roots.size).toBe(2);

    const became = result?.backups.find(({ backup }) => backup === first)?.became as string;
    expect(became.slice(0, 16)).toBe(first.slice(0, 16));
    const root = decodeRoot(await repository.readBackup(became));
    expect(root.counts.findings.error).toBeGreaterThan(0);
    expect(root.counts.messages).toBeLessThan(decodeRoot(forgotten?.bytes as Buffer).counts.messages);
    const restored = await restore(vault.files, became);
    expect(restored.incomplete).toBe(true);
    const missing = [...sound.content.keys()].filter((path) => !restored.content.has(path));
    expect(missing.length).toBeGreaterThan(0);
    for (const path of missing) expect(restored.named).toContain(path);
    for (const [path, bytes] of restored.content) expect(sound.content.get(path)).toBe(bytes);
    expect((await check(vault.files)).errors).toEqual([]);
  });

  test.each([["the message"], ["a page of messages"], ["a page of files"]])(
    "is read again by the next backup where it is still there: %s",
    async (what) => {
      using vault = await Vault.make(false);
      const [, last = ""] = vault.backups;
      const sound = await restore(vault.files, last);
      if (what === "the message") vault.files.delete((await placeOf(vault.files, last, "user.anna", 1)).name);
      else
        vault.files.delete(
          await pageOf(vault.files, last, what === "a page of files" ? "files" : "messages"),
        );
      const result = await repair(vault.files);
      expect(result?.lostTotal).toBeGreaterThan(0);
      const became = result?.backups.find(({ backup }) => backup === last)?.became as string;
      expect((await restore(vault.files, became)).incomplete).toBe(true);
      const next = await restore(vault.files, await vault.backUp());
      expect(next).toEqual(sound);
    },
  );

  test("takes tags and holds along", async () => {
    using vault = await Vault.make(true);
    const [first = ""] = vault.backups;
    const repository = await open(vault.files);
    const { writeTags, readTags } = await import("../../../src/retention/backup-tags.ts");
    await writeTags(repository, first, { tags: ["good"], hold: "case 17" });
    vault.files.delete((await placeOf(vault.files, first, "user.anna", 1)).name);
    const result = await repair(vault.files);
    const became = result?.backups.find(({ backup }) => backup === first)?.became as string;
    expect(await readTags(await open(vault.files), became)).toEqual({ tags: ["good"], hold: "case 17" });
  });

  test("of a message with a good copy, the copy that is left stays", async () => {
    for (const lose of ["as read", "good"] as const) {
      using vault = await Vault.make(false);
      const anna = vault.server.mailboxes.get("user.anna");
      if (anna === undefined) throw new Error("no anna");
      const path = vault.server.message(anna, 1);
      const bytes = readFileSync(path);
      bytes[bytes.length - 5] = (bytes[bytes.length - 5] as number) ^ 0x20;
      rmSync(path);
      writeFileSync(path, bytes);
      const backup = await vault.backUp(vault.files, 1);
      using site = new Site();
      site.repository = await open(vault.files);
      const entry = (await site.messages({ backup }, "user.anna")).get(1)?.entry;
      expect(entry?.good).toBeDefined();
      const copy = await site.repository.objects.locate(
        "message",
        (lose === "good" ? entry?.good : entry?.object) as never,
      );
      vault.files.delete(packName(copy?.pack.packId as never));
      const result = await repair(vault.files);
      const became = result?.backups.find((one) => one.backup === backup)?.became as string;
      site.repository = await open(vault.files);
      const after = (await site.messages({ backup: became }, "user.anna")).get(1)?.entry;
      expect(after?.good).toBeUndefined();
      expect(after?.object).toEqual(lose === "good" ? entry?.object : entry?.good);
      expect((await check(vault.files)).errors).toEqual([]);
    }
  });
});

describe("small records", () => {
  test.each([
    ["runs/20260101T000000Z-00112233", "a run"],
    ["tags/20260101T000000Z-00112233", "tags of this backup"],
    [`accepted/${"0".repeat(32)}`, "accepted findings"],
    ["forgotten/20260101T000000Z-00112233", "undelete"],
    ["holds/20260101T000000Z-00112233", "held off"],
    ["checkpoints/20260101T000000Z-00112233", "reads again"],
  ])("%s that cannot be read is set aside, and it is said what that means", async (name, meaning) => {
    using vault = await Vault.make(true);
    vault.files.set(name, Buffer.from("nonsense"));
    const result = await repair(vault.files);
    expect(result?.records.map(({ name }) => name)).toEqual([name]);
    expect(result?.records[0]?.what).toContain(meaning);
    expect(vault.files.has(name)).toBe(false);
    expect(vault.files.get(`damaged/${name}`)?.toString()).toBe("nonsense");
    expect((await check(vault.files)).errors).toEqual([]);
  });

  test("a damaged key file beside a sound one is set aside", async () => {
    using vault = await Vault.make(true);
    const { name, bytes } = await makeKeyFile(newKeySet(), "one more", { createdMs: 0, cost: CHEAP });
    vault.files.set(name, Buffer.from(bytes));
    flip(vault.files, name, 40);
    const result = await repair(vault.files);
    expect(result?.records.map((record) => record.name)).toEqual([name]);
    expect(namesOf(vault.files, "keys/")).toHaveLength(1);
    expect(vault.files.has(`damaged/${name}`)).toBe(true);
    expect((await check(vault.files)).errors).toEqual([]);
  });

  test("of deletion that cannot be read are replaced by one that says nothing: numbers go on", async () => {
    using vault = await Vault.make(true);
    vault.files.set("gc/00000003", Buffer.from("nonsense"));
    const result = await repair(vault.files);
    expect(result?.records.map(({ name }) => name)).toEqual(["gc/00000003"]);
    const repository = await open(vault.files);
    expect(await readGcState(repository.backend, repository.sealer)).toMatchObject({ newest: 3 });
    expect((await check(vault.files)).errors).toEqual([]);
  });

  test("a root comes back from a copy of the repository, or from forgotten/", async () => {
    for (const from of ["copy", "forgotten"] as const) {
      using vault = await Vault.make(true);
      const [first = ""] = vault.backups;
      const other = copyOf(vault.files);
      const sound = await restore(vault.files, first);
      if (from === "forgotten") {
        const root = vault.files.get(`backups/${first}`) as Buffer;
        const { forgetBackup } = await import("../../../src/store/forgotten.ts");
        await forgetBackup(await open(vault.files), first, 1);
        vault.files.set(`backups/${first}`, root);
      }
      flip(vault.files, `backups/${first}`, 150);
      const result = await repair(vault.files, from === "copy" ? { other } : {});
      expect(result).toMatchObject({ lostTotal: 0, backups: [] });
      expect(await restore(vault.files, first)).toEqual(sound);
      expect(namesOf(vault.files, "damaged/")).toEqual([`damaged/backups/${first}`]);
    }
  });
});

describe("beside others", () => {
  test("it waits for its turn: who writes must end first", async () => {
    using vault = await Vault.make(false);
    vault.files.delete((await placeOf(vault.files, vault.backups[0] as string, "user.anna", 1)).name);
    const repository = await open(vault.files);
    const run = await repository.startRun({ server: "tiny", host: "elsewhere" });
    await expect(repair(vault.files)).rejects.toMatchObject({ code: "LOCKED" });
    await run.abort();
    expect(await repair(vault.files)).toBeDefined();
  });

  test("a run that seemed dead and relied on a pack that was set aside may not commit", async () => {
    using vault = await Vault.make(false);
    const { name, at } = await placeOf(vault.files, vault.backups[0] as string, "user.bob", 1, "part");
    flip(vault.files, name, at);
    const repository = await open(vault.files);
    const run = await repository.startRun({ server: "tiny", host: "elsewhere", heartbeatMs: 1e9 });
    const record = (await repository.listRuns())[0];
    if (record === undefined) throw new Error("no run");
    vault.files.set(`runs/${run.id}`, sealRun(repository.sealer, { ...record, heartbeatMs: 1 }));
    const result = await repair(vault.files, { spool: vault.spool });
    expect(result?.setAside).toEqual([name]);
    const root = decodeRoot(await repository.readBackup(vault.backups[0] as string));
    const id = newTimedId(systemClock.nowMs());
    const commit = run.commit(id, encodeRoot({ ...root, backup: id }));
    await expect(commit).rejects.toMatchObject({ code: "RUN_FENCED" });
    await run.abort();
  });
});

describe("a page of messages that is lost", () => {
  test("is made again from the cyrus.index of the same backup, and every message comes back", async () => {
    using vault = await Vault.make(true);
    const last = await withNewFlags(vault);
    const sound = await restore(vault.files, last);
    const { name, at } = await pagePlace(vault.files, last);
    flip(vault.files, name, at);
    const plan = await repair(copyOf(vault.files), { dryRun: true });
    const result = await repair(vault.files);
    const repaired = result?.backups.find(({ backup }) => backup === last);
    expect(plan?.backups.find(({ backup }) => backup === last)?.messagesRebuilt).toBe(
      repaired?.messagesRebuilt,
    );
    expect(repaired?.messagesRebuilt).toBeGreaterThan(3);
    const restored = await restore(vault.files, repaired?.became ?? "");
    const messages = (content: ReadonlyMap<string, string>) =>
      [...content].filter(([path]) => /\/[1-9]\d*\.$/.test(path)).sort();
    expect(messages(restored.content)).toEqual(messages(sound.content));
    expect((await check(vault.files)).errors).toEqual([]);
    expect(await restore(vault.files, await vault.backUp())).toEqual(sound);
  });

  test("names the messages that are nowhere in the repository", async () => {
    using vault = await Vault.make(false, (server) => {
      server.add("user.anna", ["one", "two", "three"]);
      const anna = server.mailboxes.get("user.anna");
      const second = anna?.messages[1];
      if (anna === undefined || second === undefined) throw new Error("no message");
      // No message of the repository has this SHA-1.
      second.guid = Buffer.alloc(20, 9);
      server.writeIndex(anna);
    });
    const last = await withNewFlags(vault);
    const { name, at } = await pagePlace(vault.files, last);
    flip(vault.files, name, at);
    const result = await repair(vault.files);
    const lost = result?.lost.filter(({ backup }) => backup === last);
    expect(lost?.map(({ mailbox, uid }) => `${mailbox} ${uid}`)).toContain("user.anna 2");
    expect((await check(vault.files)).errors).toEqual([]);
  });
});

/** A backup whose cyrus.index is of its own, and whose page of messages is that of the backup before. */
async function withNewFlags(vault: Vault): Promise<string> {
  const anna = vault.server.mailboxes.get("user.anna");
  if (anna === undefined) throw new Error("no anna");
  for (const message of anna.messages) message.flagWord = 1;
  vault.server.writeIndex(anna);
  const backup = await vault.backUp();
  vault.backups.push(backup);
  return backup;
}

/** A byte in the block of the page of anna's messages. */
async function pagePlace(files: Files, backup: string): Promise<{ name: string; at: number }> {
  using site = new Site();
  site.repository = await open(files);
  const page = (await site.mailboxes({ backup })).get("user.anna")?.messagePages.page;
  const copy = await site.repository.objects.locate("manifest", page as never);
  if (copy === undefined) throw new Error("not found");
  const { block } = copy.pack.directory.place(copy.ordinal);
  return { name: packName(copy.pack.packId), at: copy.pack.directory.blockAt(block).offset + 10 };
}
