/** A small server with two backups in memory, damage done to it, and what a repair makes of that. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../../../src/backend/backend.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { runBackup } from "../../../src/backup/run.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import { SimulatedClock, systemClock } from "../../../src/base/clock.ts";
import { silentLogger } from "../../../src/base/log.ts";
import { Progress } from "../../../src/base/progress.ts";
import { type CheckResult, runCheck } from "../../../src/check/run.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import type { RepairResult } from "../../../src/repair/options.ts";
import { runRepair } from "../../../src/repair/run.ts";
import { planRestore } from "../../../src/restore/plan.ts";
import { runRestore } from "../../../src/restore/run.ts";
import { SourceView } from "../../../src/source/view.ts";
import { initRepository, openRepository, type Repository } from "../../../src/store/repository.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { mailWithAttachment, TinyServer } from "../backup/tiny-server.ts";
import { readRoot, restoreOptions } from "../restore/restore-fixture.ts";
import { CHEAP } from "../store/repository-fixture.ts";

/** Name to content: what a repository consists of. */
export type Files = Map<string, Buffer>;

export const PASSWORD = "correct horse";
const FAST = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

export async function open(
  files: Files,
  wrap: (backend: Backend) => Backend = (backend) => backend,
): Promise<Repository> {
  const encrypted = [...files.keys()].some((name) => name.startsWith("keys/"));
  return await openRepository(wrap(new MemoryBackend(files)), {
    assemble: assembleMessage,
    ...(encrypted ? { password: PASSWORD } : {}),
  });
}

export function fill(server: TinyServer): void {
  server.add("user.anna", ["one", mailWithAttachment("two", "shared", 9000), "three"]);
  server.add("user.bob", [
    mailWithAttachment("four", "shared", 9000),
    mailWithAttachment("five", "own", 30_000),
  ]);
  server.file("var/lib/cyrus/user/a/anna.seen", Buffer.alloc(3000, "seen "));
}

export class Vault implements Disposable {
  readonly dir: TempDir = tempDir();
  readonly server: TinyServer = new TinyServer(this.dir.in("snapshot"));
  readonly files: Files = new Map();
  readonly backups: string[] = [];
  readonly #clock = new SimulatedClock();

  static async make(encrypted: boolean, prepare: (server: TinyServer) => void = fill): Promise<Vault> {
    const vault = new Vault();
    prepare(vault.server);
    await initRepository(
      new MemoryBackend(vault.files),
      encrypted ? { password: PASSWORD, scrypt: CHEAP } : { noEncryption: true },
    );
    for (const addition of ["one more", "and another"]) {
      const [mailbox] = vault.server.mailboxes.values();
      if (mailbox !== undefined) vault.server.append(mailbox, addition);
      vault.backups.push(await vault.backUp());
    }
    return vault;
  }

  async backUp(files: Files = this.files, scrub = 0): Promise<string> {
    this.#clock.jumpTo(Date.now() + 60_000 * (this.backups.length + 1));
    const repository = await open(files);
    const { backup } = await runBackup(
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
        scrub,
        threads: 0,
        checkpointMs: Number.POSITIVE_INFINITY,
        checkpointBytes: Number.POSITIVE_INFINITY,
      },
      { repository, clock: this.#clock, progress: new Progress(), acceptRules: [] },
    );
    await repository.close();
    return backup;
  }

  /** The server's own files. */
  get spool(): SourceView {
    return new SourceView(fromText(this.server.root), []);
  }

  [Symbol.dispose](): void {
    this.dir.remove();
  }
}

export async function check(files: Files, readDataPercent = 100): Promise<CheckResult> {
  const repository = await open(files);
  const context = { repository, assemble: assembleMessage, clock: systemClock, progress: new Progress() };
  return await runCheck({ readDataPercent }, context);
}

export interface Remedies {
  readonly other?: Files;
  readonly spool?: SourceView;
  readonly dryRun?: boolean;
  /** Of the repository that is repaired. */
  readonly wrap?: (backend: Backend) => Backend;
}

/** As the command does it: a check, then the repair. @returns undefined where nothing is damaged. */
export async function repair(files: Files, remedies: Remedies = {}): Promise<RepairResult | undefined> {
  const repository = await open(files, remedies.wrap);
  const progress = new Progress();
  const common = { repository, clock: systemClock, progress };
  const found = await runCheck({ readDataPercent: 100 }, { ...common, assemble: assembleMessage });
  if (found.errorsTotal === 0) return undefined;
  const other = remedies.other === undefined ? undefined : await open(remedies.other);
  return await runRepair(
    { damagedFiles: found.damagedFiles, dryRun: remedies.dryRun ?? false },
    { ...common, other, spool: remedies.spool, log: silentLogger },
  );
}

export interface Restored {
  /** Path to content: files only. */
  readonly content: ReadonlyMap<string, string>;
  /** Server paths of findings of severity error. */
  readonly named: ReadonlySet<string>;
  readonly messages: readonly string[];
  readonly incomplete: boolean;
}

export async function restore(files: Files, backup: string): Promise<Restored> {
  const target = mkdtempSync(join(FAST, "cyrvault-repair-"));
  try {
    const repository = await open(files);
    const root = await readRoot(repository, backup);
    const prepared = await planRestore(restoreOptions(target), root, repository.objects);
    const result = await runRestore(prepared, {
      source: repository.objects,
      clock: systemClock,
      progress: new Progress(),
    });
    const errors = result.findings.filter(({ severity }) => severity === "error");
    return {
      content: contentOf(target),
      named: new Set(errors.map(({ path }) => path)),
      messages: errors.map(({ message }) => message),
      incomplete: result.incomplete,
    };
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

export function contentOf(target: string): ReadonlyMap<string, string> {
  const content = new Map<string, string>();
  for (const entry of readdirSync(target, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    // The text mailbox list has the backup's id in its name.
    const name = path.slice(target.length).replace(/-\d{8}T\d{6}Z-[0-9a-f]{8}/, "");
    content.set(name, readFileSync(path, "latin1"));
  }
  return content;
}

export function copyOf(files: Files): Files {
  return new Map(files);
}

/** Another bit at one place. */
export function flip(files: Files, name: string, at: number): void {
  const bytes = Buffer.from(files.get(name) as Buffer);
  bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
  files.set(name, bytes);
}

/** Names of files of one kind. */
export function namesOf(files: Files, prefix: string): string[] {
  return [...files.keys()].filter((name) => name.startsWith(prefix)).sort();
}
