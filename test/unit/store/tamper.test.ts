/** What somebody who can write to a repository, and has no key, may do to it: each is noticed, and named by its code. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { BACKUPS_PREFIX, backupName } from "../../../src/store/backup-files.ts";
import { KEYS_PREFIX } from "../../../src/store/keys.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import { PackSeal } from "../../../src/store/pack-seal.ts";
import { asPackId, PACKS_PREFIX } from "../../../src/store/pack-types.ts";
import { initRepository, openRepository, type Repository } from "../../../src/store/repository.ts";
import { decodeConfig, encodeConfig } from "../../../src/store/repository-config.ts";
import { UNENCRYPTED } from "../../../src/store/seal-context.ts";
import { HEADER_BYTES_MAX } from "../../../src/store/seal-header.ts";
import { Sealer } from "../../../src/store/sealer.ts";
import { assemble, backUp, CHEAP, content, readEverything } from "./repository-fixture.ts";

const PASSWORD = "right";
const MAX = 2 ** 26;
const DAMAGED = expect.objectContaining({ code: "REPOSITORY_DAMAGED" });

interface Victim {
  readonly backend: MemoryBackend;
  /** What was backed up: in each backup two objects of the same sizes. */
  readonly backups: readonly { readonly backup: string; readonly ids: readonly ObjectId[] }[];
}

async function victim(password: string | null = PASSWORD): Promise<Victim> {
  const backend = new MemoryBackend();
  await initRepository(backend, password === null ? { noEncryption: true } : { password, scrypt: CHEAP });
  const repository = await open(backend, password);
  const backups = [];
  for (const day of ["monday", "tuesday"])
    backups.push(await backUp(repository, [content(`${day} 1`), content(`${day} 2`)]));
  await repository.close();
  return { backend, backups };
}

function open(backend: MemoryBackend, password: string | null = PASSWORD): Promise<Repository> {
  return openRepository(backend, { assemble, password: password ?? undefined });
}

async function names(backend: MemoryBackend, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of backend.list(prefix)) found.push(name);
  return found.sort();
}

async function bytesOf(backend: MemoryBackend, name: string): Promise<Buffer> {
  const bytes = await backend.read(name, MAX);
  if (bytes === undefined) throw new Error(`no ${name}`);
  return Buffer.from(bytes);
}

async function swap(backend: MemoryBackend, [a, b]: readonly [string, string]): Promise<void> {
  const [first, second] = [await bytesOf(backend, a), await bytesOf(backend, b)];
  await backend.replace(a, second);
  await backend.replace(b, first);
}

/** The packs with the objects of each day, and where the first block begins. */
async function dataPacks({
  backend,
  backups,
}: Victim): Promise<{ name: string; block: number; length: number }[]> {
  const repository = await open(backend);
  const places = [];
  for (const { ids } of backups) {
    const info = await repository.objects.info("data", ids[0] as ObjectId);
    if (info === undefined) throw new Error("it was stored");
    const name = `${PACKS_PREFIX}${info.pack.slice(0, 2)}/${info.pack}`;
    const header = (await bytesOf(backend, name)).readUInt16BE(9);
    places.push({ name, block: header, length: info.blockStoredBytes });
  }
  await repository.close();
  return places;
}

async function readAll(backend: MemoryBackend): Promise<void> {
  const repository = await open(backend);
  try {
    await readEverything(repository);
  } finally {
    await repository.close();
  }
}

describe("packs", () => {
  test("as they were written are read", async () => {
    const { backend } = await victim();
    await readAll(backend);
  });

  test("with a byte changed in a block are named", async () => {
    const given = await victim();
    const [pack] = await dataPacks(given);
    if (pack === undefined) throw new Error("there is a pack");
    const bytes = await bytesOf(given.backend, pack.name);
    bytes[pack.block + 5] = (bytes[pack.block + 5] as number) ^ 1;
    await given.backend.replace(pack.name, bytes);
    await expect(readAll(given.backend)).rejects.toMatchObject({
      code: "REPOSITORY_DAMAGED",
      message: expect.stringContaining(pack.name),
    });
  });

  test("with their blocks exchanged do not open, though each block is as it was sealed", async () => {
    const given = await victim();
    const [one, two] = await dataPacks(given);
    if (one === undefined || two === undefined) throw new Error("there are two packs");
    expect(one.length).toBe(two.length);
    const [first, second] = [await bytesOf(given.backend, one.name), await bytesOf(given.backend, two.name)];
    const block = Buffer.from(first.subarray(one.block, one.block + one.length));
    second.copy(first, one.block, two.block, two.block + two.length);
    block.copy(second, two.block);
    await given.backend.replace(one.name, first);
    await given.backend.replace(two.name, second);
    await expect(readAll(given.backend)).rejects.toThrow(DAMAGED);
  });

  test("with their names exchanged do not open", async () => {
    const given = await victim();
    const [one, two] = await dataPacks(given);
    await swap(given.backend, [one?.name ?? "", two?.name ?? ""]);
    await expect(readAll(given.backend)).rejects.toThrow(DAMAGED);
  });

  test("of another repository, and ones without a seal, do not open", async () => {
    const given = await victim();
    const [pack] = await dataPacks(given);
    for (const password of [PASSWORD, null]) {
      const other = await victim(password);
      for (const name of await names(other.backend, PACKS_PREFIX)) {
        await given.backend.replace(pack?.name ?? "", await bytesOf(other.backend, name));
        await expect(readAll(given.backend)).rejects.toThrow(DAMAGED);
      }
    }
  });

  test("that say they are not encrypted, checksums and all, are damage", async () => {
    const given = await victim();
    const [pack] = await dataPacks(given);
    const plain = await victim(null);
    const [name = ""] = await names(plain.backend, PACKS_PREFIX);
    const forged = await bytesOf(plain.backend, name);
    // Their own id, so that nothing but the lacking encryption is wrong with it.
    const id = Buffer.from((pack?.name ?? "").slice(-64), "hex");
    id.copy(forged, 12);
    const header = forged.readUInt16BE(9);
    expect(header).toBeLessThan(HEADER_BYTES_MAX);
    const checksum = (...parts: Buffer[]) => createHash("sha256").update(Buffer.concat(parts)).digest();
    checksum(forged.subarray(0, header - 16)).copy(forged, header - 16, 0, 16);
    const footer = forged.subarray(-36);
    checksum(forged.subarray(0, header), footer.subarray(0, 12)).copy(footer, 12, 0, 16);
    await given.backend.replace(pack?.name ?? "", forged);
    await expect(readAll(given.backend)).rejects.toThrow(DAMAGED);
    const repository = await open(given.backend);
    expect(() => PackSeal.open(repository.seal, asPackId(id), forged)).toThrow(
      /not encrypted, the repository is/,
    );
    await repository.close();
  });
});

describe("backups", () => {
  test("under each other's names do not open", async () => {
    const { backend } = await victim();
    const [one = "", two = ""] = await names(backend, BACKUPS_PREFIX);
    await swap(backend, [one, two]);
    await expect(readAll(backend)).rejects.toThrow(DAMAGED);
  });

  test("under a newer name than their own do not open: Monday's is not shown as today's", async () => {
    const { backend, backups } = await victim();
    const newer = "20991231T000000Z-00000000";
    await backend.create(backupName(newer), await bytesOf(backend, backupName(backups[0]?.backup ?? "")));
    const repository = await open(backend);
    await expect(repository.readBackup(newer)).rejects.toThrow(DAMAGED);
    await repository.close();
  });

  test("made without a key do not open", async () => {
    const { backend, backups } = await victim();
    const name = backupName(backups[0]?.backup ?? "");
    await backend.replace(name, new Sealer(UNENCRYPTED).sealNamed("backup", name, Buffer.from("{}")));
    await expect(readAll(backend)).rejects.toThrow(DAMAGED);
  });
});

describe("cyrvault.json", () => {
  test("that says «not encrypted» is refused with a password, and without one nothing opens", async () => {
    const { backend, backups } = await victim();
    const config = decodeConfig(await bytesOf(backend, "cyrvault.json"));
    const planted = encodeConfig({ ...config, encrypted: false }, new Sealer(UNENCRYPTED));
    await backend.replace("cyrvault.json", planted);
    await expect(open(backend)).rejects.toMatchObject({
      code: "PASSWORD_UNUSED",
      hint: expect.stringContaining("another repository in its place"),
    });
    const repository = await openRepository(backend, { assemble });
    await expect(repository.readBackup(backups[0]?.backup ?? "")).rejects.toMatchObject({
      code: "REPOSITORY_DAMAGED",
      message: expect.stringContaining("it is encrypted, the repository is not"),
    });
    await repository.close();
  });

  test("with any field changed, its spelling kept, is damage", async () => {
    const { backend } = await victim();
    const text = (await bytesOf(backend, "cyrvault.json")).toString();
    const config = decodeConfig(Buffer.from(text));
    const changed = [
      text.replace(config.id, "ab".repeat(16)),
      text.replace(config.created, "2020-01-01T00:00:00.000Z"),
      text.replace(/"packBytes": \d+/, '"packBytes": 1'),
      text.replace('"write": []', '"write": [\n      "x"\n    ]'),
      encodeConfig(config, new Sealer(UNENCRYPTED)).toString(),
    ];
    for (const planted of changed) {
      expect(planted).not.toBe(text);
      await backend.replace("cyrvault.json", Buffer.from(planted));
      await expect(open(backend), planted).rejects.toThrow(DAMAGED);
    }
  });

  test("of another repository with the same password is damage, and so are its keys", async () => {
    const [{ backend }, other] = [await victim(), await victim()];
    const own = await bytesOf(backend, "cyrvault.json");
    await backend.replace("cyrvault.json", await bytesOf(other.backend, "cyrvault.json"));
    await expect(open(backend)).rejects.toThrow(DAMAGED);
    await backend.replace("cyrvault.json", own);
    for (const name of await names(backend, KEYS_PREFIX)) await backend.remove(name);
    for (const name of await names(other.backend, KEYS_PREFIX))
      await backend.create(name, await bytesOf(other.backend, name));
    await expect(open(backend)).rejects.toThrow(DAMAGED);
  });
});

test("a wrong password is told from damage", async () => {
  const { backend } = await victim();
  await expect(open(backend, "wrong")).rejects.toMatchObject({ code: "PASSWORD_WRONG" });
});
