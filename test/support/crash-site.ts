/**
 * A small server and its repository on a simulated disk, and what must hold of that repository whatever has happened:
 * every backup that was completed is there or forgotten, and gives back every byte.
 */
import { createHash } from "node:crypto";
import { cpSync, existsSync, rmSync } from "node:fs";
import { LocalBackend } from "../../src/backend/local.ts";
import type { BackupOptions, BackupResult } from "../../src/backup/options.ts";
import { runBackup } from "../../src/backup/run.ts";
import { fromText } from "../../src/base/byte-string.ts";
import { SimulatedClock, systemClock } from "../../src/base/clock.ts";
import { isCyrvaultError } from "../../src/base/errors.ts";
import type { FileSystem } from "../../src/base/file-system.ts";
import { Progress } from "../../src/base/progress.ts";
import { runCheck } from "../../src/check/run.ts";
import { assembleMessage } from "../../src/chunker/assemble.ts";
import { Keyring } from "../../src/keys/keyring.ts";
import { readContent } from "../../src/manifest/content.ts";
import { filePages } from "../../src/manifest/file-page.ts";
import { mailboxPages } from "../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../src/manifest/message-page.ts";
import type { Content, ManifestRoot } from "../../src/manifest/model.ts";
import { readPageTree } from "../../src/manifest/read-page-tree.ts";
import { decodeRoot } from "../../src/manifest/root.ts";
import { isUnreadable } from "../../src/manifest/sufferers.ts";
import { planRestore } from "../../src/restore/plan.ts";
import { runRestore } from "../../src/restore/run.ts";
import { listForgotten, readForgotten } from "../../src/store/forgotten.ts";
import {
  initRepository,
  type OpenOptions,
  openRepository,
  type Repository,
} from "../../src/store/repository.ts";
import { mail, mailWithAttachment, TinyServer } from "../unit/backup/tiny-server.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { type TempDir, tempDir } from "./temp-dir.ts";
import { compareTrees, readTree, type Tree } from "./tree-compare.ts";

// What is restored need not survive anything.
if (existsSync("/dev/shm")) process.env["TMPDIR"] = "/dev/shm";

/** Where the repository is on the simulated disk. */
export const PLACE = "/backup/cyrus";
/** Of a running server only; made by the restore. */
const NOT_RESTORED = /^(var\/lib\/cyrus\/(proc\/.|deliver\.db$)|cyrvault-mailbox-list-)/;
const DAY_MS = 86_400_000;
/** So that it takes no time. */
export const CHEAP = { n: 16, r: 8, p: 1 };

export interface SiteOptions {
  readonly password?: string | undefined;
}

export class CrashSite implements Disposable {
  readonly dir: TempDir = tempDir();
  readonly server: TinyServer = new TinyServer(this.dir.in("server"));
  /** Well after whatever is on the real disk: nothing is racy. */
  readonly clock = new SimulatedClock({ startMs: Date.now() + 10 * DAY_MS });
  readonly password: string | undefined;
  /** Others that may open it by now. */
  readonly furtherPasswords: string[] = [];
  disk = new SimulatedDisk();
  /** Where object indexes lie; undefined: nobody has one. */
  cacheDirectory: string | undefined;
  /** Each backup that was ever completed. */
  readonly completed = new Map<string, { readonly root: Buffer; readonly digest: string }>();
  /** Backups that were damaged for good: nobody reads them any more. */
  readonly givenUp = new Set<string>();
  readonly #trees = new Map<string, Tree>();
  readonly #digests = new Map<string, string>();
  #messages = 0;

  constructor({ password }: SiteOptions = {}) {
    this.password = password;
    for (const name of ["user.anna", "user.anna.Sent", "user.bert"]) {
      this.server.add(name);
      this.deliver(name, 5);
    }
  }

  /** Mail comes in: every third with an attachment that others have, too. */
  deliver(name: string, messages: number): void {
    const mailbox = this.server.mailboxes.get(name);
    if (mailbox === undefined) throw new TypeError(`no mailbox ${name}`);
    for (let i = 0; i < messages; i++) {
      const n = this.#messages++;
      const text = `message ${n} in ${name}`;
      const content = n % 3 === 0 ? mailWithAttachment(text, `file ${n % 4}`, 6000) : mail(text);
      this.server.append(mailbox, content);
    }
  }

  async init(fs: FileSystem): Promise<void> {
    const how =
      this.password === undefined
        ? ({ noEncryption: true } as const)
        : { password: this.password, scrypt: CHEAP };
    await initRepository(backendOn(fs), { ...how, clock: this.clock });
  }

  /** As a process of its own would. @param as - somebody with another key. */
  async withRepository<T>(
    fs: FileSystem,
    use: (repository: Repository) => Promise<T>,
    as?: Pick<OpenOptions, "password" | "ownPacks">,
  ): Promise<T> {
    const repository = await openRepository(backendOn(fs), {
      assemble: assembleMessage,
      clock: this.clock,
      password: await this.passwordThatOpens(fs),
      cacheDirectory: this.cacheDirectory,
      ...as,
    });
    try {
      return await use(repository);
    } finally {
      await repository.close();
    }
  }

  async passwordThatOpens(fs: FileSystem): Promise<string | undefined> {
    for (const password of this.furtherPasswords) {
      try {
        await Keyring.open(backendOn(fs), password);
        return password;
      } catch (error) {
        if (!isCyrvaultError(error, "PASSWORD_WRONG")) throw error;
      }
    }
    return this.password;
  }

  async backUp(
    fs: FileSystem,
    options: Partial<BackupOptions> = {},
    by: {
      readonly as?: Pick<OpenOptions, "password" | "ownPacks">;
      /** As the context's `onCommitted`. */
      readonly afterwards?: (repository: Repository, root: ManifestRoot) => Promise<void>;
    } = {},
  ): Promise<BackupResult> {
    const work = (repository: Repository) =>
      runBackup(
        {
          config: undefined,
          root: fromText(this.server.root),
          mappings: [],
          server: undefined,
          includes: [],
          excludeMailboxes: [],
          withoutDerivable: false,
          withSearch: false,
          compression: "fast",
          scrub: 0,
          threads: 0,
          checkpointMs: 1e9,
          checkpointBytes: 1e15,
          ...options,
        },
        {
          repository,
          clock: this.clock,
          progress: new Progress(),
          acceptRules: [],
          onCommitted: async (root) => await by.afterwards?.(repository, root),
        },
      );
    return await this.withRepository(fs, work, by.as);
  }

  /** The object index as it is now is what every machine after a power cut finds. */
  keepIndex(): void {
    if (this.cacheDirectory !== undefined)
      cpSync(this.cacheDirectory, this.dir.in("kept index"), { recursive: true });
  }

  bringIndexBack(): void {
    if (this.cacheDirectory === undefined) return;
    rmSync(this.cacheDirectory, { recursive: true });
    cpSync(this.dir.in("kept index"), this.cacheDirectory, { recursive: true });
  }

  /** A backup of what there is; then a day goes by. */
  async completeBackup(
    options: Partial<BackupOptions> = {},
    by?: Parameters<CrashSite["backUp"]>[2],
  ): Promise<string> {
    const { backup } = await this.backUp(this.disk, options, by);
    this.#trees.set(backup, readTree(this.server.root));
    await this.withRepository(this.disk, async (repository) => {
      const root = await repository.readBackup(backup);
      this.completed.set(backup, { root, digest: await digestOf(repository, root) });
    });
    this.clock.advance(DAY_MS);
    return backup;
  }

  /** The digest of a backup of the server as it is, made where nothing goes wrong. */
  async digestNow(server?: string): Promise<string> {
    const key = `${server ?? ""} ${this.#messages}`;
    let digest = this.#digests.get(key);
    if (digest === undefined) {
      const disk = new SimulatedDisk();
      await this.init(disk);
      const { backup } = await this.backUp(disk, server === undefined ? {} : { server });
      digest = await this.withRepository(disk, async (repository) =>
        digestOf(repository, await repository.readBackup(backup)),
      );
      this.#digests.set(key, digest);
    }
    return digest;
  }

  /** Differences between the server as it was and what is restored of the newest backup from then. */
  async restoreDifferences(fs: FileSystem): Promise<string[]> {
    if (this.completed.size === 0) return [];
    using target = tempDir();
    const backup = await this.withRepository(fs, async (repository) => {
      const listed = (await repository.listBackups()).map(({ id }) => id);
      const backup = listed.reverse().find((id) => this.completed.has(id));
      if (backup === undefined) return undefined;
      const root = decodeRoot(await repository.readBackup(backup));
      const options = {
        target: fromText(target.path),
        only: [],
        users: [],
        mailboxes: [],
        uids: undefined,
        mappings: [],
        owner: undefined,
        overwrite: undefined,
      };
      const prepared = await planRestore(options, root, repository.objects);
      await runRestore(prepared, {
        source: repository.objects,
        clock: systemClock,
        progress: new Progress(),
      });
      return backup;
    });
    if (backup === undefined) return [];
    return compareTrees(this.#trees.get(backup) as Tree, readTree(target.path), {
      ignore: (path) => NOT_RESTORED.test(path),
      presenceOnly: (path) => [".", "etc", "var", "var/lib", "var/spool"].includes(path),
    });
  }

  async isThere(fs: FileSystem): Promise<boolean> {
    return (await backendOn(fs).size("cyrvault.json")) !== undefined;
  }

  /** What is wrong with the repository. */
  async problems(fs: FileSystem): Promise<string[]> {
    return [...(await this.check(fs)), ...(await this.lost(fs))];
  }

  /** What a check of every byte says. */
  async check(fs: FileSystem): Promise<string[]> {
    return await this.withRepository(fs, async (repository) => {
      const { errors } = await runCheck(
        { readDataPercent: 100 },
        { repository, assemble: assembleMessage, clock: this.clock, progress: new Progress() },
      );
      return errors.map(({ message }) => `check: ${message}`);
    });
  }

  /** What is missing or changed of the backups that were completed: they are read, not checked. */
  async lost(fs: FileSystem): Promise<string[]> {
    return await this.withRepository(fs, async (repository) => {
      const problems: string[] = [];
      const there = await readAll(repository);
      const all = [...this.completed];
      for (const [i, [backup, { root, digest }]] of all.entries()) {
        const roots = there.get(backup) ?? [];
        if (roots.length === 0) problems.push(`backup ${backup} has gone`);
        if (roots.some((found) => !found.equals(root))) problems.push(`backup ${backup} has another root`);
        // Of the others the check has read every object under these roots.
        const isChosen = i === 0 || i >= all.length - 2;
        if (!isChosen || roots.length === 0) continue;
        const found = await digestOf(repository, root).catch((error: unknown) => {
          if (!isUnreadable(error)) throw error;
          problems.push(`backup ${backup} cannot be read: ${String(error)}`);
          return digest;
        });
        if (found !== digest) problems.push(`backup ${backup} has changed`);
      }
      for (const [backup, roots] of there)
        if (!this.completed.has(backup) && !this.givenUp.has(backup))
          for (const root of roots) await digestOf(repository, root);
      return problems;
    });
  }

  [Symbol.dispose](): void {
    this.dir.remove();
  }
}

export function backendOn(fileSystem: FileSystem): LocalBackend {
  return new LocalBackend(PLACE, { fileSystem });
}

/** The roots of each backup: in the list, forgotten, or both. */
async function readAll(repository: Repository): Promise<Map<string, Buffer[]>> {
  const all = new Map<string, Buffer[]>();
  const add = (id: string, root: Buffer | undefined) => {
    if (root !== undefined) all.set(id, [...(all.get(id) ?? []), root]);
  };
  for (const { id } of await repository.listBackups()) add(id, await repository.readBackup(id));
  for (const id of await listForgotten(repository.backend))
    add(id, (await readForgotten(repository, id))?.bytes);
  return all;
}

/** Of every name, file and message that a backup gives back: all of it is read. */
export async function digestOf(repository: Repository, rootBytes: Uint8Array): Promise<string> {
  const root = decodeRoot(rootBytes);
  const { objects } = repository;
  const all = createHash("sha256");
  const addContent = async (name: string, content: Content | undefined) => {
    all.update(`${name}\n`);
    if (content === undefined) return;
    const hash = createHash("sha256");
    for await (const part of readContent(content, objects)) hash.update(part);
    all.update(hash.digest());
  };
  all.update(root.server);
  for await (const { path, content } of readPageTree(root.files, objects, filePages))
    await addContent(path, content);
  for await (const mailbox of readPageTree(root.mailboxes, objects, mailboxPages)) {
    all.update(`${mailbox.name}\n`);
    for (const { name, content } of mailbox.files) await addContent(name, content);
    for await (const { uid, object } of readPageTree(mailbox.messagePages, objects, messagePages)) {
      const hash = createHash("sha256");
      for await (const part of objects.stream("message", object)) hash.update(part);
      all.update(`${uid}\n`).update(hash.digest());
    }
  }
  return all.digest("hex");
}
