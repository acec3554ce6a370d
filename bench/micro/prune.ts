/**
 * The plan of a prune over very many messages: `npm run build`, then `npx tsx bench/micro/prune.ts [MESSAGES] [DIRECTORY]`
 * (25,000,000; some 4 GB). Synthetic packs of 2,000 messages of a few bytes each; a tenth of the mailboxes has gone since
 * the backup that is forgotten. Gives time and peak memory of `cyrvault prune --dry-run`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { LocalBackend } from "../../src/backend/local.ts";
import { type ByteString, fromText } from "../../src/base/byte-string.ts";
import { assembleMessage } from "../../src/chunker/assemble.ts";
import { newBackupId } from "../../src/manifest/backup-id.ts";
import { mailboxPages } from "../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../src/manifest/message-page.ts";
import type { MailboxEntry, MessageEntry } from "../../src/manifest/model.ts";
import { PageTreeWriter } from "../../src/manifest/page-tree.ts";
import { encodeRoot } from "../../src/manifest/root.ts";
import { forgetBackup } from "../../src/store/forgotten.ts";
import { asObjectId, type ObjectId } from "../../src/store/object.ts";
import { PackWriter } from "../../src/store/pack-writer.ts";
import { initRepository, openRepository } from "../../src/store/repository.ts";
import type { Run } from "../../src/store/run.ts";
import { tinyRoot } from "../../test/unit/inspect/tiny-backup.ts";

const PACK_MESSAGES = 2000;
const MAILBOX_MESSAGES = 10_000;
const STAT = { mode: 0o100600, uid: 0, gid: 0, size: 0, mtimeNs: 1n, ctimeNs: 1n, inode: 1, links: 1 };

const [messages = "25000000", place = tmpdir()] = process.argv.slice(2);
const directory = mkdtempSync(join(place, "cyrvault-prune-"));
try {
  await build(directory, Number(messages));
  console.log(JSON.stringify(await measurePrune(directory)));
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function build(repo: string, count: number): Promise<void> {
  const backend = new LocalBackend(repo);
  await initRepository(backend, { noEncryption: true });
  const repository = await openRepository(backend, { assemble: assembleMessage });
  const run = await repository.startRun({ server: "bench", host: "bench" });
  const entries: MailboxEntry[] = [];
  for (let stored = 0; stored < count; stored += MAILBOX_MESSAGES)
    entries.push(await mailbox(run, entries.length));
  const now = Date.now();
  const all = await root(run, entries, now - 10_000);
  const kept = await root(
    run,
    entries.filter((_, i) => i % 10 !== 0),
    now,
  );
  await run.commit(all.backup, encodeRoot(all));
  const second = await repository.startRun({ server: "bench", host: "bench" });
  await second.commit(kept.backup, encodeRoot(kept));
  // Long ago: its grace time is over.
  await forgetBackup(repository, all.backup, 0);
  await repository.close();
  await backend.close();
}

async function root(run: Run, entries: readonly MailboxEntry[], timeMs: number) {
  const tree = new PageTreeWriter<MailboxEntry, ByteString>(mailboxPages, run.writer);
  for (const entry of entries) await tree.add(entry);
  const mailboxes = await tree.finish();
  const backup = newBackupId(timeMs);
  return tinyRoot({
    backup,
    server: "bench",
    timeMs,
    mailboxes,
    messages: entries.length * MAILBOX_MESSAGES,
  });
}

async function mailbox(run: Run, number: number): Promise<MailboxEntry> {
  const pages = new PageTreeWriter<MessageEntry, number>(messagePages, run.writer);
  for (let uid = 1; uid <= MAILBOX_MESSAGES; ) {
    const ids = await storePack(run);
    for (const object of ids)
      await pages.add({
        uid: uid++,
        object,
        directory: 0,
        mode: 0o100600,
        uidOwner: 0,
        gidOwner: 0,
        mtimeNs: 1n,
        inode: uid,
        linked: false,
      });
  }
  const name = `user.u${String(number).padStart(6, "0")}`;
  return {
    name: fromText(name),
    uniqueid: fromText(`id-${name}`),
    partition: fromText("default"),
    mailboxType: fromText("e"),
    acl: fromText("u\tlrs\t"),
    quotaRoot: undefined,
    listed: true,
    uidvalidity: 1,
    lastUid: MAILBOX_MESSAGES,
    highestModseq: 1n,
    generation: 1,
    indexVersion: 17,
    messages: MAILBOX_MESSAGES,
    bytes: MAILBOX_MESSAGES,
    directories: [{ role: "data", path: fromText(`/spool/${name}`), stat: { ...STAT, mode: 0o040700 } }],
    files: [],
    messagePages: await pages.finish(),
    openFindings: 0,
    racy: false,
    rules: 1,
  };
}

/** Nobody reads them, so the ids need not be those of the content. */
async function storePack(run: Run): Promise<ObjectId[]> {
  const all = randomBytes(PACK_MESSAGES * 32);
  const pack = new PackWriter(run.seal, { packKind: "data", compression: "fast", verify: false });
  const sink = await run.writer.beginPack(pack.packId, "data");
  await sink.append(pack.header());
  const ids: ObjectId[] = [];
  for (let i = 0; i < PACK_MESSAGES; i++) {
    const id = asObjectId(all.subarray(i * 32, (i + 1) * 32));
    ids.push(id);
    pack.add({ kind: "message", id, head: Buffer.of(i & 0xff), tail: new Uint8Array(), references: [] });
  }
  await sink.append(pack.finish());
  await sink.commit(pack.directory());
  return ids;
}

async function measurePrune(repo: string): Promise<object> {
  const bin = join(import.meta.dirname, "../../bin/cyrvault.js");
  const began = performance.now();
  const child = spawn(process.execPath, [bin, "prune", "--repo", repo, "--dry-run", "--json", "--quiet"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (part: Buffer) => {
    text += part.toString();
  });
  let hasEnded = false;
  const ended = once(child, "close").then(() => {
    hasEnded = true;
  });
  let peakBytes = 0;
  while (!hasEnded) {
    peakBytes = Math.max(peakBytes, privateBytes(child));
    await delay(50);
  }
  await ended;
  const { marked, packs, bytes, forgottenRemoved } = JSON.parse(text);
  const seconds = Math.round((performance.now() - began) / 1000);
  return {
    messages,
    packs,
    marked,
    forgottenRemoved,
    bytes,
    seconds,
    peakMiB: Math.round(peakBytes / 2 ** 20),
  };
}

function privateBytes({ pid }: ChildProcess): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    return Number(/^Private_Dirty:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
