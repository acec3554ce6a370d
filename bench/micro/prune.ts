/**
 * Check and the plan of a prune over very many messages: `npm run build`, then `npx tsx bench/micro/prune.ts
 * [MESSAGES] [DIRECTORY] [limited]` (25,000,000; 4 GB and half an hour). Synthetic packs of 2,000 messages of a few bytes each, every
 * fifth with an attachment stored apart; in mailboxes of 1,000, of which one message is a copy from anywhere.
 * A tenth of the mailboxes has gone since the backup that is forgotten. Gives time and peak memory of `cyrvault check` and
 * of `cyrvault prune --dry-run`, and the same in a control group of 256 MB, as root. With `limited` as the third word it is
 * the latter alone, both commands at once.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
import { MEMORY_LIMIT_BYTES } from "../cases/limited.ts";
import { limitMemory } from "../measure/cgroup.ts";
import { run as runCommand } from "../measure/run.ts";

const PACK_MESSAGES = 2000;
const MAILBOX_MESSAGES = 1000;
const ATTACHMENT_EVERY = 5;
const COPY_EVERY = 1000;
/** Of messages that are there, to be copied. */
const CIRCULATING = 10_000;
const STAT = { mode: 0o100600, uid: 0, gid: 0, size: 0, mtimeNs: 1n, ctimeNs: 1n, inode: 1, links: 1 };
const BIN = join(import.meta.dirname, "../../bin/cyrvault.js");

/** Of messages as they come, each in a pack; nobody reads them, so that the ids need not be those of any content. */
class MessageIds {
  readonly #run: Run;
  #fresh: ObjectId[] = [];
  readonly #circulating: ObjectId[] = [];

  constructor(run: Run) {
    this.#run = run;
  }

  /** Of a message that no mailbox has yet. */
  async next(): Promise<ObjectId> {
    if (this.#fresh.length === 0) {
      this.#fresh = (await storePack(this.#run)).reverse();
      // One of each pack may be copied later.
      const at =
        this.#circulating.length < CIRCULATING
          ? this.#circulating.length
          : Math.floor(Math.random() * CIRCULATING);
      this.#circulating[at] = this.#fresh.at(-1) as ObjectId;
    }
    return this.#fresh.pop() as ObjectId;
  }

  /** Of one that some mailbox has, or gets soon. */
  circulating(): ObjectId {
    return this.#circulating[Math.floor(Math.random() * this.#circulating.length)] as ObjectId;
  }
}

const [messages = "25000000", place = tmpdir(), only] = process.argv.slice(2);
const directory = mkdtempSync(join(place, "cyrvault-prune-"));
try {
  await build(directory, Number(messages));
  const commands = [["check"], ["prune", "--dry-run"]].map((words) => commandLine(words));
  if (only === "limited")
    await Promise.all(commands.map(async (command) => console.log(await measure(command, true))));
  else
    for (const command of commands)
      for (const isLimited of [false, true]) console.log(await measure(command, isLimited));
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function commandLine(words: readonly string[]): string[] {
  return [process.execPath, BIN, ...words, "--repo", directory, "--json", "--quiet"];
}

async function build(repo: string, count: number): Promise<void> {
  const backend = new LocalBackend(repo);
  await initRepository(backend, { noEncryption: true });
  const repository = await openRepository(backend, { assemble: assembleMessage });
  const run = await repository.startRun({ server: "bench", host: "bench" });
  const entries: MailboxEntry[] = [];
  const ids = new MessageIds(run);
  for (let stored = 0; stored < count; stored += MAILBOX_MESSAGES) {
    entries.push(await mailbox(run, entries.length, ids));
    if (entries.length % 1000 === 0) console.error(`${stored + MAILBOX_MESSAGES} messages`);
  }
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

async function mailbox(run: Run, number: number, ids: MessageIds): Promise<MailboxEntry> {
  const pages = new PageTreeWriter<MessageEntry, number>(messagePages, run.writer);
  for (let uid = 1; uid <= MAILBOX_MESSAGES; uid++)
    await pages.add({
      uid,
      object: uid % COPY_EVERY === 0 ? ids.circulating() : await ids.next(),
      directory: 0,
      mode: 0o100600,
      uidOwner: 0,
      gidOwner: 0,
      mtimeNs: BigInt(uid) * 1_000_000_007n,
      inode: number * MAILBOX_MESSAGES + uid,
      linked: false,
    });
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

async function storePack(run: Run): Promise<ObjectId[]> {
  const messageIds = randomIds(PACK_MESSAGES);
  const attachmentIds = randomIds(PACK_MESSAGES / ATTACHMENT_EVERY);
  const pack = new PackWriter(run.seal, { packKind: "data", compression: "fast", verify: false });
  const sink = await run.writer.beginPack(pack.packId, "data");
  await sink.append(pack.header());
  const nothing = new Uint8Array();
  for (const [i, id] of messageIds.entries()) {
    const references: ObjectId[] = [];
    if (i % ATTACHMENT_EVERY === 0) {
      const attachment = attachmentIds[i / ATTACHMENT_EVERY] as ObjectId;
      references.push(attachment);
      pack.add({ kind: "data", id: attachment, head: Buffer.of(i & 0xff), tail: nothing, references: [] });
    }
    pack.add({ kind: "message", id, head: Buffer.of(i & 0xff), tail: nothing, references });
  }
  await sink.append(pack.finish());
  await sink.commit(pack.directory());
  return messageIds;
}

/** Each in memory of its own, so that one that is kept does not keep the others. */
function randomIds(count: number): ObjectId[] {
  return Array.from({ length: count }, () => asObjectId(Uint8Array.from(randomBytes(32))));
}

/** @param isLimited - in a control group. */
async function measure(argv: readonly string[], isLimited: boolean): Promise<string> {
  const limited = isLimited ? limitMemory(MEMORY_LIMIT_BYTES) : undefined;
  if (typeof limited === "string") return limited;
  try {
    const { exitCode, seconds, peakAnonymousBytes, peakPrivateBytes, stdout, stderr } = await runCommand(
      limited?.inside({ argv }) ?? { argv },
    );
    const result = {
      command: argv.slice(2).filter((word) => !word.includes(directory)),
      limit: isLimited ? MEMORY_LIMIT_BYTES : undefined,
      messages: Number(messages),
      exitCode,
      seconds: Math.round(seconds),
      writtenToMiB: Math.round(peakAnonymousBytes / 2 ** 20),
      privateMiB: Math.round(peakPrivateBytes / 2 ** 20),
      oomKills: limited?.oomKills,
      said: stdout.toString().slice(0, 1000),
      stderr,
    };
    return JSON.stringify(result);
  } finally {
    limited?.remove();
  }
}
