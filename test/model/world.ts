/**
 * A repository that several use at the same time, in simulated time, and an oracle that knows what every backup needs
 * and which pack holds it.
 */
import type { Backend } from "../../src/backend/backend.ts";
import { MemoryBackend } from "../../src/backend/memory.ts";
import { findParents } from "../../src/backup/parents.ts";
import { toText } from "../../src/base/byte-string.ts";
import { SimulatedClock } from "../../src/base/clock.ts";
import { isCyrvaultError } from "../../src/base/errors.ts";
import { Progress } from "../../src/base/progress.ts";
import { runCheck } from "../../src/check/run.ts";
import { newBackupId } from "../../src/manifest/backup-id.ts";
import { mailboxPages } from "../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../src/manifest/message-page.ts";
import type { MailboxEntry, ManifestRoot } from "../../src/manifest/model.ts";
import { visitNeeded } from "../../src/manifest/needed-objects.ts";
import { PageTreeWriter } from "../../src/manifest/page-tree.ts";
import { readPageTree } from "../../src/manifest/read-page-tree.ts";
import { decodeRoot, encodeRoot } from "../../src/manifest/root.ts";
import { runPrune } from "../../src/retention/prune/run.ts";
import { undelete } from "../../src/retention/undelete.ts";
import type { Random } from "../../src/sample/random.ts";
import { forgetBackup, listForgotten, readForgotten } from "../../src/store/forgotten.ts";
import { idKey, type ObjectId } from "../../src/store/object.ts";
import { openPack } from "../../src/store/pack-reader.ts";
import { parsePackName } from "../../src/store/pack-types.ts";
import type { Repository } from "../../src/store/repository.ts";
import { Scheduler } from "../support/scheduler.ts";
import { mailboxEntry, tinyRoot } from "../unit/inspect/tiny-backup.ts";
import { assemble, content, newPlain, openPlain } from "../unit/store/repository-fixture.ts";

const HOUR = 3_600_000;
/** With a short one, runs that are alive live longer than it. */
const GRACES = [0, 0, HOUR / 20, HOUR / 6, 72 * HOUR];
const SERVERS = ["anna", "berta", "cäcilie"];
const BOXES = ["user.a", "user.b", "user.c"];
/** So few that they come again when they have been deleted. */
const MAILS = 8;
/** What an actor may fail with: it was too late, too slow, or somebody else was first. Anything else is a defect. */
const REFUSALS = ["RUN_FENCED", "LOCKED", "BACKUP_NOT_FOUND", "NAME_EXISTS"] as const;

type Mails = Record<number, string>;

interface KnownBackup {
  readonly needs: ReadonlySet<string>;
  readonly content: string;
}

export class World {
  readonly files = new Map<string, Buffer>();
  readonly backend = new MemoryBackend(this.files);
  readonly clock = new SimulatedClock({ startMs: Date.UTC(2026, 0, 1), autoAdvance: true });
  readonly scheduler: Scheduler;
  readonly counts = {
    backups: 0,
    refused: 0,
    forgotten: 0,
    undeleted: 0,
    prunes: 0,
    swept: 0,
    repacked: 0,
    read: 0,
  };
  readonly violations: string[] = [];
  readonly #random: Random;
  /** By backup id: what was committed, whether or not it is still there. */
  readonly #backups = new Map<string, KnownBackup>();
  /** Runs by the backup they are about to make. */
  readonly #runOf = new Map<string, string>();
  /** Made by a run that had been fenced: to be withdrawn at once. */
  readonly #void = new Set<string>();
  readonly #packs = new Map<string, readonly string[]>();
  readonly #copies = new Map<string, number>();
  readonly #forgottenAt = new Map<string, number>();
  readonly #servers = new Map<string, Map<string, Mails>>();
  #serial = 0;
  #pauseLeft = 0;

  readonly #graceMs: number;

  private constructor(random: Random, deathRate: number) {
    this.#random = random;
    this.#graceMs = random.pick(GRACES);
    this.scheduler = new Scheduler(random, {
      before: () => this.#passTime(),
      after: (_, operation, name) => this.#look(operation, name),
      // Of what prune leaves when it dies, a sweep half done is the worst.
      dies: (actor) => random.chance(actor.startsWith("prune") ? deathRate * 2 : deathRate),
    });
  }

  static async make(random: Random, deathRate: number): Promise<World> {
    const world = new World(random, deathRate);
    await (await newPlain(world.backend, { clock: world.clock })).close();
    for (const server of SERVERS) world.#servers.set(server, new Map(BOXES.map((box) => [box, {}])));
    return world;
  }

  /** Lets so many actors loose, at most `together` at a time, and runs until all have ended or died. */
  async run(actors: number, together: number): Promise<void> {
    for (let left = actors; left > 0 || this.scheduler.active > 0; ) {
      if (left > 0 && this.scheduler.active < together && this.#random.chance(0.3)) {
        left--;
        this.#startOne();
      }
      await this.scheduler.step();
      if (this.violations.length > 0) return;
    }
  }

  /** Nobody else is at work any more, and everybody who died is known to be dead. */
  async settle(): Promise<void> {
    this.#pauseLeft = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 4; round++) {
      this.clock.advance(this.#graceMs + 2 * HOUR);
      await this.#prune(this.backend, 0);
    }
    const repository = await this.#open(this.backend);
    const context = { repository, assemble, clock: this.clock, progress: new Progress() };
    const { errors } = await runCheck({ readDataPercent: 100 }, context);
    for (const { message } of errors) this.violations.push(`check: ${message}`);
    const used = new Set<string>();
    for (const { id } of await repository.listBackups()) {
      await this.#readAll(repository, id);
      for (const need of this.#backups.get(id)?.needs ?? []) used.add(need);
      if (this.#void.has(id)) this.violations.push(`backup ${id} of a fenced run is still there`);
    }
    for (const checkpoint of await repository.readCheckpoints())
      for (const need of await this.#needsOf(repository, decodeRoot(checkpoint))) used.add(need);
    for await (const { name } of this.backend.list("packs/"))
      if (!(await this.#idsIn(name)).some((id) => used.has(id)))
        this.violations.push(`${name} is of no use to anybody and still there`);
    for await (const { name } of this.backend.list("runs/")) this.violations.push(`${name} is still there`);
  }

  #startOne(): void {
    const random = this.#random;
    const kind = random.below(12);
    const name = `${["backup", "prune", "forget", "undelete", "read"][kind < 5 ? 0 : kind < 8 ? 1 : kind < 10 ? 2 : kind - 7]}-${++this.#serial}`;
    this.scheduler.start(name, this.backend, async (backend) => {
      try {
        if (kind < 5) await this.#backUp(backend);
        else if (kind < 8) await this.#prune(backend);
        else if (kind < 10) await this.#forget(backend);
        else if (kind < 11) await this.#undelete(backend);
        else await this.#read(backend);
      } catch (error) {
        const isRefusal = REFUSALS.some((code) => isCyrvaultError(error, code));
        // Nothing is swept under a run that stands: that the run would notice is the second line.
        if (isRefusal && !String(error).includes("has swept")) this.counts.refused++;
        else this.violations.push(`${name}: ${error instanceof Error ? error.stack : String(error)}`);
      }
    });
  }

  #open(backend: Backend): Promise<Repository> {
    return openPlain(backend, { clock: this.clock });
  }

  /** As a backup does: mailboxes that have not changed are taken over, with everything below them, unseen. */
  async #backUp(backend: Backend): Promise<void> {
    const random = this.#random;
    const server = random.pick(SERVERS);
    const repository = await this.#open(backend);
    const { backup: parent, checkpoints, checkpointRuns } = await findParents(repository, server);
    const backup = newBackupId(this.clock.nowMs());
    const run = await repository.startRun({
      server,
      host: `host of ${server}`,
      parent: parent?.backup,
      checkpoints: checkpointRuns,
      backup,
    });
    this.#runOf.set(backup, run.id);
    try {
      const known = new Map<string, MailboxEntry>();
      for (const root of [...(parent === undefined ? [] : [parent]), ...checkpoints.toReversed()])
        for await (const entry of readPageTree(root.mailboxes, repository.objects, mailboxPages))
          known.set(toText(entry.name), entry);
      const timeMs = this.clock.nowMs();
      const done: MailboxEntry[] = [];
      const root = async (): Promise<ManifestRoot> => {
        const tree = new PageTreeWriter<MailboxEntry, MailboxEntry["name"]>(mailboxPages, run.writer);
        for (const entry of done) await tree.add(entry);
        const messages = done.reduce((sum, entry) => sum + entry.messages, 0);
        return tinyRoot({
          backup,
          parent: parent?.backup,
          server,
          timeMs,
          mailboxes: await tree.finish(),
          messages,
        });
      };
      for (const box of BOXES) {
        const taken = known.get(box);
        if (taken !== undefined && random.chance(0.6)) done.push(taken);
        else done.push(await mailboxEntry(run, { name: box, messages: this.#change(server, box) }));
        await run.heartbeat();
        // Reading the server takes its time.
        for (let calls = this.#slowness(); calls > 0; calls--) await backend.size("cyrvault.json");
        if (!random.chance(0.3)) continue;
        const partial = encodeRoot(await root());
        await run.writer.flush();
        await run.checkpoint(partial);
      }
      const bytes = encodeRoot(await root());
      await run.commit(backup, bytes);
      this.counts.backups++;
    } finally {
      await run.abort();
    }
  }

  #slowness(): number {
    return this.#random.chance(0.3) ? this.#random.below(150) : 0;
  }

  /** Mails come and go; what one server has another may get. */
  #change(server: string, box: string): Mails {
    const random = this.#random;
    const mails = this.#servers.get(server)?.get(box) as Mails;
    for (let i = random.below(3); i >= 0; i--)
      mails[random.below(6) + 1] = content(`mail ${random.below(MAILS)}`, 300).toString("latin1");
    if (random.chance(0.3)) delete mails[random.below(6) + 1];
    return { ...mails };
  }

  async #prune(backend: Backend, maxUnused = this.#random.pick([0, 0.3])): Promise<void> {
    const repository = await this.#open(backend);
    const { swept, repacked } = await runPrune(
      { graceMs: this.#graceMs, maxUnused, repackBytesMax: 1e12 },
      {
        repository,
        clock: this.clock,
        here: { host: "host of nobody", isAlive: () => true },
        assemble,
        progress: new Progress(),
        batchBytes: 1000,
      },
    );
    this.counts.prunes++;
    this.counts.swept += swept.length;
    this.counts.repacked += repacked.length;
  }

  async #forget(backend: Backend): Promise<void> {
    const repository = await this.#open(backend);
    const backups = await repository.listBackups();
    if (backups.length < 2) return;
    await forgetBackup(repository, this.#random.pick(backups).id, this.clock.nowMs());
    this.counts.forgotten++;
  }

  async #undelete(backend: Backend): Promise<void> {
    const repository = await this.#open(backend);
    const forgotten = await listForgotten(backend);
    if (forgotten.length === 0) return;
    await undelete(repository, this.#random.pick(forgotten), "host of undelete");
    this.counts.undeleted++;
  }

  /** As a restore does. A backup that is dropped meanwhile, and swept, may end it. */
  async #read(backend: Backend): Promise<void> {
    const repository = await this.#open(backend);
    const backups = await repository.listBackups();
    if (backups.length === 0) return;
    const { id } = this.#random.pick(backups);
    try {
      await this.#readAll(repository, id);
      this.counts.read++;
    } catch (error) {
      if (this.files.has(`backups/${id}`) && !this.#void.has(id)) throw error;
    }
  }

  async #readAll(repository: Repository, id: string): Promise<void> {
    const found = await contentOf(repository, decodeRoot(await repository.readBackup(id)));
    const known = this.#backups.get(id);
    if (known !== undefined && known.content !== found)
      this.violations.push(`backup ${id} reads as another one`);
  }

  #passTime(): void {
    const random = this.#random;
    if (this.#pauseLeft-- > 0) return;
    this.#pauseLeft = random.below(12);
    const unit = random.below(100);
    const ms =
      unit < 90
        ? random.below(60_000)
        : unit < 97
          ? random.below(1_200_000)
          : unit < 99
            ? 4_000_000
            : this.#graceMs / 2;
    this.clock.advance(ms);
  }

  /** After each step that may matter to a backup. */
  async #look(operation: string, name: string): Promise<void> {
    if (name.startsWith("packs/")) {
      if (operation === "commit") await this.#packCame(name);
      if (operation === "remove" && !this.files.has(name)) await this.#packWent(name);
    }
    if (name.startsWith("backups/") && operation === "create") await this.#backupCame(name.slice(8));
    if (name.startsWith("forgotten/") && operation === "replace")
      this.#forgottenAt.set(name.slice(10), this.clock.nowMs());
    if (name.startsWith("forgotten/") && operation === "remove") await this.#forgottenWent(name.slice(10));
  }

  async #packCame(name: string): Promise<void> {
    const ids = await this.#idsIn(name);
    this.#packs.set(name, ids);
    for (const id of ids) this.#copies.set(id, (this.#copies.get(id) ?? 0) + 1);
  }

  async #idsIn(name: string): Promise<string[]> {
    const { seal } = await this.#open(this.backend);
    const pack = await openPack(this.backend, parsePackName(name) as never, seal);
    return Array.from({ length: pack?.directory.objectCount ?? 0 }, (_, ordinal) =>
      idKey(pack?.directory.idAt(ordinal) as ObjectId),
    );
  }

  async #packWent(name: string): Promise<void> {
    const lost = new Set<string>();
    for (const id of this.#packs.get(name) ?? []) {
      const left = (this.#copies.get(id) ?? 0) - 1;
      this.#copies.set(id, left);
      if (left === 0) lost.add(id);
    }
    this.#packs.delete(name);
    if (lost.size === 0) return;
    for (const id of await this.#kept())
      for (const need of this.#backups.get(id)?.needs ?? [])
        if (lost.has(need)) {
          this.violations.push(`${name} is removed, and backup ${id} needs it`);
          return;
        }
  }

  /** Backups that are listed, and those that can still be brought back. */
  async #kept(): Promise<string[]> {
    const repository = await this.#open(this.backend);
    const kept = (await repository.listBackups()).map(({ id }) => id).filter((id) => !this.#void.has(id));
    for (const id of await listForgotten(this.backend)) {
      const forgotten = await readForgotten(repository, id);
      if (forgotten !== undefined && this.clock.nowMs() - forgotten.forgottenMs < this.#graceMs)
        kept.push(id);
    }
    return kept;
  }

  async #backupCame(id: string): Promise<void> {
    const run = this.#runOf.get(id);
    if (run !== undefined && !this.files.has(`runs/${run}`) && !this.#backups.has(id)) {
      this.#void.add(id);
      return;
    }
    const repository = await this.#open(this.backend);
    const root = decodeRoot(await repository.readBackup(id));
    const needs = await this.#needsOf(repository, root);
    for (const need of needs)
      if ((this.#copies.get(need) ?? 0) === 0) this.violations.push(`backup ${id} came, and lacks something`);
    if (this.violations.length > 0) return;
    this.#backups.set(id, { needs, content: await contentOf(repository, root) });
  }

  async #forgottenWent(id: string): Promise<void> {
    if (this.files.has(`backups/${id}`) || this.files.has(`forgotten/${id}`)) return;
    const sinceMs = this.#forgottenAt.get(id);
    if (sinceMs !== undefined && this.clock.nowMs() - sinceMs < this.#graceMs)
      this.violations.push(`forgotten backup ${id} went before its time`);
  }

  async #needsOf(repository: Repository, root: ManifestRoot): Promise<Set<string>> {
    const needs = new Set<string>();
    try {
      await visitNeeded(root, repository.objects, {
        visit: async (_, id) => {
          needs.add(idKey(id));
          return true;
        },
        onDamage: (error) => {
          throw error;
        },
      });
    } catch (error) {
      this.violations.push(`backup ${root.backup} cannot be walked: ${String(error)}`);
    }
    return needs;
  }
}

async function contentOf(repository: Repository, root: ManifestRoot): Promise<string> {
  const lines: string[] = [];
  for await (const mailbox of readPageTree(root.mailboxes, repository.objects, mailboxPages))
    for await (const { uid, object } of readPageTree(mailbox.messagePages, repository.objects, messagePages))
      lines.push(
        `${mailbox.name} ${uid} ${(await repository.objects.get("message", object)).toString("base64")}`,
      );
  return lines.join("\n");
}
