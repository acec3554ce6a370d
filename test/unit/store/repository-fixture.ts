/** What the tests of the repository share: a small repository in memory, and objects with known content. */
import { createHash } from "node:crypto";
import type { Backend } from "../../../src/backend/backend.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { newTimedId } from "../../../src/store/backup-files.ts";
import type { AssembleMessage, ObjectId } from "../../../src/store/object.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { PackWriter } from "../../../src/store/pack-writer.ts";
import {
  initRepository,
  type OpenOptions,
  openRepository,
  type Repository,
} from "../../../src/store/repository.ts";
import type { Run } from "../../../src/store/run.ts";

/** A message here is: a count, then that many references, then what is its own. */
export const assemble: AssembleMessage = async function* (head, tail, load) {
  for (let position = 0; position < (head[0] as number); position++) yield await load(position);
  yield head.subarray(1);
  yield tail;
};

export const CHEAP = { n: 16, r: 8, p: 1 };

export async function openPlain(backend: Backend, options: Partial<OpenOptions> = {}): Promise<Repository> {
  return await openRepository(backend, { assemble, ...options });
}

export async function newPlain(
  backend: Backend = new MemoryBackend(),
  options: Partial<OpenOptions> = {},
): Promise<Repository> {
  await initRepository(backend, { noEncryption: true });
  return await openPlain(backend, options);
}

/** Bytes that follow from a name and do not compress. */
export function content(name: string, bytes = 300): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i * 32 < bytes; i++) parts.push(createHash("sha256").update(`${name}/${i}`).digest());
  return Buffer.concat(parts).subarray(0, bytes);
}

/** Claims `data` objects and stores in one pack those that are new. Gives the ids, and how many were new. */
export async function storeData(
  run: Run,
  contents: readonly Buffer[],
): Promise<{ ids: ObjectId[]; stored: number }> {
  const hasher = new ObjectHasher(run.seal);
  const ids = contents.map((bytes) => hasher.id("data", bytes));
  const claimed = await run.writer.claim("data", ids);
  if (!claimed.includes(true)) return { ids, stored: 0 };
  const pack = new PackWriter(run.seal, { packKind: "data", compression: "fast" });
  const sink = await run.writer.beginPack(pack.packId, "data");
  await sink.append(pack.header());
  for (const [i, isNew] of claimed.entries()) {
    if (!isNew) continue;
    const block = pack.add({
      kind: "data",
      id: ids[i] as ObjectId,
      head: contents[i] as Buffer,
      tail: new Uint8Array(0),
      references: [],
    });
    if (block !== undefined) await sink.append(block);
  }
  await sink.append(pack.finish());
  await sink.commit(pack.directory());
  return { ids, stored: claimed.filter(Boolean).length };
}

/** A message of two `data` parts and its own head and tail. */
export async function storeMessage(
  run: Run,
  parts: readonly Buffer[],
  own: Buffer,
  tail: Buffer,
): Promise<{ id: ObjectId; whole: Buffer }> {
  const { ids } = await storeData(run, parts);
  const whole = Buffer.concat([...parts, own, tail]);
  const id = new ObjectHasher(run.seal).id("message", whole);
  const [isNew] = await run.writer.claim("message", [id]);
  if (isNew !== true) return { id, whole };
  const pack = new PackWriter(run.seal, { packKind: "data", compression: "fast" });
  const sink = await run.writer.beginPack(pack.packId, "data");
  await sink.append(pack.header());
  pack.add({
    kind: "message",
    id,
    head: Buffer.concat([Buffer.of(ids.length), own]),
    tail,
    references: ids,
  });
  await sink.append(pack.finish());
  await sink.commit(pack.directory());
  return { id, whole };
}

let serial = 0;

/** Each a second after the one before, so that they are listed in the order in which they were made. */
export function nextBackupId(): string {
  serial++;
  return newTimedId(Date.UTC(2026, 0, 1) + serial * 1000);
}

/** One backup of these contents; the root lists the ids in hex. */
export async function backUp(
  repository: Repository,
  contents: readonly Buffer[],
): Promise<{ backup: string; ids: ObjectId[]; stored: number }> {
  const run = await repository.startRun({ server: "mail", host: "here" });
  try {
    const { ids, stored } = await storeData(run, contents);
    const page = await run.writer.put("manifest", Buffer.concat(ids));
    const backup = nextBackupId();
    await run.commit(backup, Buffer.from(JSON.stringify({ page: Buffer.from(page).toString("hex") })));
    return { backup, ids, stored };
  } catch (error) {
    await run.abort();
    throw error;
  }
}

/** Every object of every backup, read and verified. Gives the number of backups. */
export async function readEverything(repository: Repository): Promise<number> {
  const backups = await repository.listBackups();
  for (const { id } of backups) {
    const { page } = JSON.parse((await repository.readBackup(id)).toString()) as { page: string };
    const ids = await repository.objects.get("manifest", Buffer.from(page, "hex") as unknown as ObjectId);
    for (let at = 0; at < ids.length; at += 32)
      await repository.objects.get("data", ids.subarray(at, at + 32) as unknown as ObjectId);
  }
  return backups.length;
}

export async function names(backend: Backend, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of backend.list(prefix)) found.push(name);
  return found.sort();
}
