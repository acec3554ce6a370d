/**
 * A small server that lives for years, backed up, forgotten and pruned as an administrator would, with commands that die at
 * any call; and an oracle that has kept a copy of the server as it was at each backup.
 */
import { existsSync, readdirSync, rmSync, unlinkSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Backend } from "../../src/backend/backend.ts";
import { MemoryBackend } from "../../src/backend/memory.ts";
import { runBackup } from "../../src/backup/run.ts";
import { fromText } from "../../src/base/byte-string.ts";
import { SimulatedClock, systemClock } from "../../src/base/clock.ts";
import { isCyrvaultError } from "../../src/base/errors.ts";
import { Progress } from "../../src/base/progress.ts";
import { runCheck } from "../../src/check/run.ts";
import { assembleMessage } from "../../src/chunker/assemble.ts";
import { readBackups } from "../../src/inspect/backups.ts";
import { decodeRoot } from "../../src/manifest/root.ts";
import { planRestore } from "../../src/restore/plan.ts";
import { runRestore } from "../../src/restore/run.ts";
import { readAllTags, writeTags } from "../../src/retention/backup-tags.ts";
import { planByPolicy, runForget } from "../../src/retention/forget.ts";
import { NO_RULES } from "../../src/retention/policy.ts";
import { type PackFile, planPrune } from "../../src/retention/prune/plan.ts";
import { forecast, runPrune } from "../../src/retention/prune/run.ts";
import { undelete } from "../../src/retention/undelete.ts";
import { Random } from "../../src/sample/random.ts";
import { listForgotten, readForgotten } from "../../src/store/forgotten.ts";
import { initRepository, openRepository, type Repository } from "../../src/store/repository.ts";
import { faultyBackend } from "../support/faulty-backend.ts";
import { tempDir } from "../support/temp-dir.ts";
import { compareTrees, readTree, type Tree } from "../support/tree-compare.ts";
import { mail, mailWithAttachment, type TinyMailbox, TinyServer } from "../unit/backup/tiny-server.ts";

// What is restored is compared and thrown away.
if (existsSync("/dev/shm")) process.env["TMPDIR"] = "/dev/shm";

const DAY_MS = 86_400_000;
const GRACE_MS = 3 * DAY_MS;
const RULES = { ...NO_RULES, last: 2, daily: 4, weekly: 3, monthly: 4, yearly: 2 };
const FOLDERS = ["", ".Sent", ".Archive", ".Trash"];
const USERS = ["anna", "bert", "cäcilie"];
/** Of the calls of a command: most make fewer. */
const CALLS_MAX = 200;
/** Of a running server only; made by the restore. */
const NOT_RESTORED = /^(var\/lib\/cyrus\/(proc\/.|deliver\.db$)|cyrvault-mailbox-list-)/;
const PARENTS = [".", "etc", "var", "var/lib", "var/spool"];

interface Moment {
  readonly tree: Tree;
  readonly mailboxes: readonly TinyMailbox[];
}

export class LivingServer implements Disposable {
  readonly #dir = tempDir();
  readonly #server: TinyServer = new TinyServer(this.#dir.in("server"));
  readonly #backend = new MemoryBackend();
  /** Far ahead of what is on the disk: nothing is racy. */
  readonly #clock = new SimulatedClock({ startMs: Date.now() + 1000 * DAY_MS });
  readonly #random: Random;
  /** The server as it was, by backup. */
  readonly #moments = new Map<string, Moment>();
  readonly #held = new Set<string>();
  /** What a prune did otherwise than it had said. */
  readonly #surprises: string[] = [];
  #mails = 0;
  #days = 0;
  readonly counts: Record<string, number> = {};
  /** What happened last, for who has to find out why. */
  readonly history: string[] = [];

  private constructor(seed: number) {
    this.#random = new Random(seed);
  }

  static async make(seed: number): Promise<LivingServer> {
    const living = new LivingServer(seed);
    await initRepository(living.#backend, { noEncryption: true });
    for (const user of USERS) living.#server.add(`user.${user}`, [mail(`welcome ${user}`)]);
    return living;
  }

  [Symbol.dispose](): void {
    this.#dir.remove();
  }

  /** Some days of mail, then what an administrator does. @returns what is wrong, as far as it was looked at. */
  async step(): Promise<string[]> {
    const random = this.#random;
    const days = 1 + (random.chance(0.2) ? random.below(60) : random.below(5));
    this.#clock.advance(days * DAY_MS + random.below(DAY_MS / 2));
    this.#days += days;
    this.#note(`day ${this.#days}`);
    for (let events = random.below(6); events > 0; events--) this.#live();
    if (random.chance(0.9)) await this.#mayDie("backup", (backend) => this.#backUp(backend));
    if (random.chance(0.3)) await this.#mayDie("forget", (backend) => this.#forget(backend));
    if (random.chance(0.1)) await this.#mayDie("undelete", (backend) => this.#undelete(backend));
    if (random.chance(0.1)) await this.#mayDie("hold", (backend) => this.#hold(backend));
    if (random.chance(0.3)) await this.#mayDie("prune", (backend) => this.#prune(backend));
    if (random.chance(0.08)) await this.#goBack();
    return await this.#look(random.chance(0.1));
  }

  /** All backups, and every byte of the repository. */
  async lookAtAll(): Promise<string[]> {
    return await this.#look(true);
  }

  get days(): number {
    return this.#days;
  }

  #note(what: string): void {
    this.history.push(what);
    this.counts[what.replace(/ .*/, "")] = (this.counts[what.replace(/ .*/, "")] ?? 0) + 1;
  }

  #live(): void {
    const random = this.#random;
    const server = this.#server;
    const names = [...server.mailboxes.keys()];
    const mailbox = server.mailboxes.get(random.pick(names)) as TinyMailbox;
    const { messages } = mailbox;
    const event = random.below(12);
    if (event < 5 || messages.length === 0) {
      for (let left = random.below(4); left >= 0; left--) server.append(mailbox, this.#mail());
      this.#note(`deliver to ${mailbox.name}`);
    } else if (event < 6) {
      random.pick(messages).flagWord ^= 1 << random.below(4);
      server.writeIndex(mailbox);
      this.#note(`flag in ${mailbox.name}`);
    } else if (event < 8) {
      this.#expunge(mailbox);
      this.#note(`expunge in ${mailbox.name}`);
    } else if (event < 9) {
      const to = server.mailboxes.get(random.pick(names)) as TinyMailbox;
      server.copy(mailbox, random.pick(messages).uid, to);
      if (random.chance(0.5)) this.#expunge(mailbox);
      this.#note(`copy from ${mailbox.name} to ${to.name}`);
    } else if (event < 10) this.#rename(mailbox, names);
    else if (event < 11) this.#create(names);
    else if (names.length > USERS.length) {
      server.remove(mailbox);
      this.#note(`delete ${mailbox.name}`);
    }
  }

  #mail(): Buffer {
    const n = this.#mails++;
    const random = this.#random;
    if (random.chance(0.2)) return mail(`circular ${random.below(5)}`);
    return random.chance(0.3)
      ? mailWithAttachment(`mail ${n}`, `file ${random.below(6)}`, 5000 + 4000 * random.below(4))
      : mail(`mail ${n} ${"and what it says ".repeat(random.below(60))}`);
  }

  #expunge(mailbox: TinyMailbox): void {
    const at = this.#random.below(mailbox.messages.length);
    const [gone] = mailbox.messages.splice(at, 1);
    // The index goes first, as in Cyrus.
    this.#server.writeIndex(mailbox);
    if (gone !== undefined) unlinkSync(this.#server.message(mailbox, gone.uid));
  }

  #rename(mailbox: TinyMailbox, names: readonly string[]): void {
    const name = `user.${this.#random.pick(USERS)}.renamed${this.#random.below(9)}`;
    if (names.includes(name) || !mailbox.name.includes(".", 5)) return;
    this.#note(`rename ${mailbox.name} to ${name}`);
    this.#server.rename(mailbox, name);
  }

  /** A name that was deleted before may come again, with another uniqueid. */
  #create(names: readonly string[]): void {
    const name = `user.${this.#random.pick(USERS)}${this.#random.pick(FOLDERS)}`;
    if (names.includes(name)) return;
    const uniqueid = this.#random.token(24);
    this.#server.add(name, [], { uniqueid, uidvalidity: 1_700_000_000 + this.#days });
    this.#note(`create ${name}`);
  }

  /** Many a one dies at some call, after which the machine does nothing more; then it is done again. */
  async #mayDie(what: string, work: (backend: Backend) => Promise<void>): Promise<void> {
    this.#note(what);
    if (this.#random.chance(0.35)) {
      const last = this.#random.below(CALLS_MAX);
      const when = this.#random.pick(["before", "after"] as const);
      let hasDied = false;
      const failAt = (call: number): boolean => {
        hasDied ||= call >= last;
        return hasDied;
      };
      try {
        await work(faultyBackend(this.#backend, { failAt, when: when === "after" ? "after" : "before" }));
      } catch (error) {
        if (!hasDied || !isCyrvaultError(error)) throw error;
      }
      if (hasDied) this.#note(`death at call ${last}, ${when} its effect`);
      if (!hasDied) return;
      // What counts is what the repository says: the command may have come to its end.
      await this.#noticeBackups();
    }
    await work(this.#backend);
  }

  async #withRepository<T>(backend: Backend, use: (repository: Repository) => Promise<T>): Promise<T> {
    const repository = await openRepository(backend, { assemble: assembleMessage, clock: this.#clock });
    try {
      return await use(repository);
    } finally {
      await repository.close();
    }
  }

  async #backUp(backend: Backend): Promise<void> {
    await this.#withRepository(backend, (repository) =>
      runBackup(
        {
          config: undefined,
          root: fromText(this.#server.root),
          mappings: [],
          server: undefined,
          includes: [],
          excludeMailboxes: [],
          withoutDerivable: false,
          withSearch: false,
          compression: "fast",
          scrub: 0,
          threads: 0,
          checkpointMs: this.#random.pick([0, 1e9]),
          checkpointBytes: 1e15,
        },
        { repository, clock: this.#clock, progress: new Progress(), acceptRules: [] },
      ),
    );
    await this.#noticeBackups();
  }

  /** Whatever is listed and was not before is the server as it is now. */
  async #noticeBackups(): Promise<void> {
    await this.#withRepository(this.#backend, async (repository) => {
      for (const { id } of await repository.listBackups())
        if (!this.#moments.has(id))
          this.#moments.set(id, {
            tree: readTree(this.#server.root),
            mailboxes: structuredClone([...this.#server.mailboxes.values()]).map((mailbox) => ({
              ...mailbox,
              messages: mailbox.messages.map((message) => ({
                ...message,
                bytes: Buffer.from(message.bytes),
              })),
            })),
          });
    });
  }

  async #forget(backend: Backend): Promise<void> {
    await this.#withRepository(backend, async (repository) => {
      const roots = readBackups(repository, (_, error) => {
        throw error;
      });
      const tags = await readAllTags(repository, () => undefined);
      const plan = await planByPolicy(roots, tags, RULES, this.#clock.nowMs());
      const kept = plan.verdicts.filter(({ reasons }) => reasons.length > 0);
      if (kept.length === 0 && plan.verdicts.length > 0) throw new Error("a policy that keeps nothing");
      this.counts["forgotten"] =
        (this.counts["forgotten"] ?? 0) +
        (await runForget(plan, repository, this.#clock.nowMs(), new AbortController().signal));
    });
  }

  async #undelete(backend: Backend): Promise<void> {
    const ids = await listForgotten(this.#backend);
    if (ids.length === 0) return;
    const id = this.#random.pick(ids);
    if (!(await this.#canComeBack(id))) return;
    await this.#withRepository(backend, async (repository) => {
      try {
        await undelete(repository, id, hostname());
      } catch (error) {
        // It died when it had brought it back.
        if (!isCyrvaultError(error, "BACKUP_NOT_FOUND") || (await this.#ids()).has(id) === false) throw error;
      }
    });
  }

  async #hold(backend: Backend): Promise<void> {
    const id = this.#random.pick([...(await this.#ids())]);
    await this.#withRepository(backend, (repository) =>
      writeTags(repository, id, { tags: [], hold: "for the auditors" }),
    );
    this.#held.add(id);
  }

  async #prune(backend: Backend): Promise<void> {
    await this.#withRepository(backend, async (repository) => {
      const options = {
        graceMs: GRACE_MS,
        maxUnused: this.#random.pick([0, 0.05, 0.5]),
        repackBytesMax: this.#random.pick([20_000, 1e12]),
      };
      const parts = {
        repository,
        clock: this.#clock,
        // All that were ever at work have ended or died.
        here: { host: hostname(), isAlive: () => false },
        assemble: assembleMessage,
        progress: new Progress(),
        batchBytes: 50_000,
      };
      const planned = figuresOf(forecast(await planPrune(options, parts)));
      const done = await runPrune(options, parts);
      const [said, came] = [planned, figuresOf(done)].map((figures) => JSON.stringify(figures));
      if (said !== came) this.#surprises.push(`prune said ${said}, and did ${came}`);
      const { swept, repacked } = done;
      this.counts["swept"] = (this.counts["swept"] ?? 0) + swept.length;
      this.counts["repacked"] = (this.counts["repacked"] ?? 0) + repacked.length;
    });
  }

  /** The server is lost, and comes back as it was at some backup. */
  async #goBack(): Promise<void> {
    const id = this.#random.pick([...(await this.#ids())]);
    this.#note(`restore of the server to ${id}`);
    for (const name of readdirSync(this.#server.root))
      rmSync(join(this.#server.root, name), { recursive: true });
    await this.#restore(id, this.#server.root);
    const { mailboxes } = this.#moments.get(id) as Moment;
    this.#server.mailboxes.clear();
    for (const mailbox of mailboxes)
      this.#server.mailboxes.set(mailbox.name, {
        ...mailbox,
        messages: mailbox.messages.map((message) => ({ ...message })),
      });
  }

  async #restore(id: string, target: string): Promise<void> {
    await this.#withRepository(this.#backend, async (repository) => {
      const options = {
        target: fromText(target),
        only: [],
        users: [],
        mailboxes: [],
        uids: undefined,
        mappings: [],
        owner: undefined,
        overwrite: undefined,
      };
      const prepared = await planRestore(
        options,
        decodeRoot(await repository.readBackup(id)),
        repository.objects,
      );
      await runRestore(prepared, {
        source: repository.objects,
        clock: systemClock,
        progress: new Progress(),
      });
    });
  }

  async #ids(): Promise<Set<string>> {
    return await this.#withRepository(
      this.#backend,
      async (repository) => new Set((await repository.listBackups()).map(({ id }) => id)),
    );
  }

  async #canComeBack(id: string): Promise<boolean> {
    const forgotten = await this.#withRepository(this.#backend, (repository) =>
      readForgotten(repository, id),
    );
    return forgotten !== undefined && this.#clock.nowMs() - forgotten.forgottenMs < GRACE_MS;
  }

  /** @param isThorough - all backups instead of three of them, and a check of every byte. */
  async #look(isThorough: boolean): Promise<string[]> {
    const ids = [...(await this.#ids())].sort();
    const problems: string[] = [...this.#surprises];
    for (const id of this.#held) if (!ids.includes(id)) problems.push(`${id} had a hold and is gone`);
    const newest = ids.at(-1);
    const chosen = isThorough ? ids : new Set([newest, this.#random.pick(ids), this.#random.pick(ids)]);
    for (const id of chosen) {
      if (id === undefined) continue;
      const moment = this.#moments.get(id);
      if (moment === undefined) {
        problems.push(`${id} is listed, and nobody has made it`);
        continue;
      }
      using target = tempDir();
      await this.#restore(id, target.path);
      this.counts["compared"] = (this.counts["compared"] ?? 0) + 1;
      const differences = compareTrees(moment.tree, readTree(target.path), {
        ignore: (path) => NOT_RESTORED.test(path),
        presenceOnly: (path) => PARENTS.includes(path),
      });
      problems.push(...differences.map((difference) => `${id}: ${difference}`));
    }
    if (!isThorough) return problems;
    const { errors } = await this.#withRepository(this.#backend, (repository) =>
      runCheck(
        { readDataPercent: 100 },
        { repository, assemble: assembleMessage, clock: this.#clock, progress: new Progress() },
      ),
    );
    return [...problems, ...errors.map(({ message }) => `check: ${message}`)];
  }
}

/** What a prune prints. */
function figuresOf({ forgotten, ...packs }: ReturnType<typeof forecast>): object {
  const { marked, unmarked, swept, repacked, waiting } = packs;
  const files = { marked, unmarked, swept, repacked, waiting };
  const named = Object.entries(files).map(([what, list]) => [what, list.map(nameAndSize).sort()]);
  return { forgotten: [...forgotten].sort(), ...Object.fromEntries(named) };
}

function nameAndSize({ pack, bytes }: PackFile): string {
  return `${pack.hex.slice(0, 16)} ${bytes}`;
}
