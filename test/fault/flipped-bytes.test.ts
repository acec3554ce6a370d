/**
 * One byte of a repository is not what it was: a check that reads the data finds it, wherever it is, and a restore never
 * gives wrong bytes: what it cannot give it names. Small repositories byte for byte; `CYRVAULT_HEAVY=1` does without gaps
 * what otherwise is a sample, another one in each run of `CYRVAULT_SEED`.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MemoryBackend } from "../../src/backend/memory.ts";
import { runBackup } from "../../src/backup/run.ts";
import { fromText } from "../../src/base/byte-string.ts";
import { SimulatedClock, systemClock } from "../../src/base/clock.ts";
import { CyrvaultError, isCyrvaultError } from "../../src/base/errors.ts";
import { Progress } from "../../src/base/progress.ts";
import { runCheck } from "../../src/check/run.ts";
import { assembleMessage } from "../../src/chunker/assemble.ts";
import { planRestore } from "../../src/restore/plan.ts";
import { runRestore } from "../../src/restore/run.ts";
import { initRepository, openRepository, type Repository } from "../../src/store/repository.ts";
import { tempDir } from "../support/temp-dir.ts";
import { mail, mailWithAttachment, TinyServer } from "../unit/backup/tiny-server.ts";
import { readRoot, restoreOptions } from "../unit/restore/restore-fixture.ts";
import { CHEAP } from "../unit/store/repository-fixture.ts";

const HEAVY = process.env["CYRVAULT_HEAVY"] === "1";
const SEED = Number(process.env["CYRVAULT_SEED"] ?? 20_260_801);
/** Of the bytes of a small repository, one in so many is flipped for a check, and for a restore. */
const CHECK_EVERY = HEAVY ? 1 : 9;
const RESTORE_EVERY = HEAVY ? 3 : 41;

const LOST_PAGE = /^not restored: \d+ (files|mailboxes|messages)\b/;

/** Restores go here: memory where there is such a place. */
const FAST = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

interface Made {
  readonly files: ReadonlyMap<string, Buffer>;
  readonly password: string | undefined;
  readonly backups: readonly string[];
}

/** Path to content: files only. */
type Content = ReadonlyMap<string, string>;

async function make(encrypted: boolean, fill: (server: TinyServer) => void): Promise<Made> {
  using dir = tempDir();
  const server = new TinyServer(dir.in("snapshot"));
  fill(server);
  const files = new Map<string, Buffer>();
  const backend = new MemoryBackend(files);
  const password = encrypted ? "correct horse" : undefined;
  await initRepository(
    backend,
    password === undefined ? { noEncryption: true } : { password, scrypt: CHEAP },
  );
  const backups: string[] = [];
  const clock = new SimulatedClock();
  for (const addition of ["one more", "and another"]) {
    const [mailbox] = server.mailboxes.values();
    if (mailbox !== undefined) server.append(mailbox, addition);
    clock.jumpTo(Date.now() + 60_000 * (backups.length + 1));
    const repository = await openRepository(backend, { password, assemble: assembleMessage });
    const { backup } = await runBackup(
      {
        config: undefined,
        root: fromText(server.root),
        mappings: [],
        server: undefined,
        includes: [],
        excludeMailboxes: [],
        withoutDerivable: false,
        withSearch: false,
        compression: "fast",
        scrub: 0,
        threads: 0,
        checkpointMs: Number.POSITIVE_INFINITY,
        checkpointBytes: Number.POSITIVE_INFINITY,
      },
      { repository, clock, progress: new Progress(), acceptRules: [] },
    );
    await repository.close();
    backups.push(backup);
  }
  return { files, password, backups };
}

function tiny(server: TinyServer): void {
  server.add("user.anna", ["one", mailWithAttachment("two", "a", 5000)]);
  server.add("user.bob", [mailWithAttachment("three", "a", 5000)]);
}

/** Attachments in several blocks, a mailbox with several pages of messages. */
function larger(server: TinyServer): void {
  server.add(
    "user.anna",
    Array.from({ length: 12 }, (_, i) => mailWithAttachment(`m${i}`, `a${i}`, 300_000)),
  );
  server.add(
    "user.bob",
    Array.from({ length: 3000 }, (_, i) => mail(`number ${i}`)),
  );
}

async function open({ files, password }: Made): Promise<Repository> {
  const backend = new MemoryBackend(new Map(files));
  return await openRepository(backend, { password, assemble: assembleMessage });
}

/** undefined: nothing was found. */
async function complaintOfCheck(made: Made, readDataPercent = 100): Promise<string | undefined> {
  try {
    const repository = await open(made);
    const context = { repository, assemble: assembleMessage, clock: systemClock, progress: new Progress() };
    const { errors } = await runCheck({ readDataPercent }, context);
    return errors[0]?.code;
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    return error.code;
  }
}

interface Restored {
  readonly content: Content;
  /** Server paths. */
  readonly named: ReadonlySet<string>;
  /** Whole pages of the manifest are lost: files are named by their number. */
  readonly lostPages: boolean;
  readonly incomplete: boolean;
}

async function restore(made: Made, backup: string): Promise<Restored | CyrvaultError> {
  const target = mkdtempSync(join(FAST, "cyrvault-flipped-"));
  try {
    const repository = await open(made);
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
      lostPages: errors.some(({ message }) => LOST_PAGE.test(message)),
      incomplete: result.incomplete,
    };
  } catch (error) {
    if (isCyrvaultError(error)) return error;
    throw error;
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

function contentOf(target: string): Content {
  const content = new Map<string, string>();
  for (const entry of readdirSync(target, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    content.set(path.slice(target.length), readFileSync(path, "latin1"));
  }
  return content;
}

/** @returns what is wrong with a restore from a damaged repository: nothing, if it is right or says what is not. */
function silentLoss(expected: Content, restored: Restored | CyrvaultError): string[] {
  if (restored instanceof CyrvaultError) return [];
  const wrong: string[] = [];
  for (const [path, bytes] of restored.content)
    if (expected.get(path) !== bytes) wrong.push(`${path} has other bytes, or was not there`);
  for (const path of expected.keys()) {
    if (restored.content.has(path)) continue;
    if (!restored.incomplete) wrong.push(`${path} is missing, and the restore calls itself complete`);
    else if (!restored.named.has(path) && !restored.lostPages) wrong.push(`${path} is missing and not named`);
  }
  return wrong;
}

function flipped(made: Made, name: string, at: number): Made {
  const files = new Map(made.files);
  const bytes = Buffer.from(made.files.get(name) as Buffer);
  // Each bit has its turn.
  bytes[at] = (bytes[at] as number) ^ (1 << ((at + SEED) % 8));
  files.set(name, bytes);
  return { ...made, files };
}

/** Every `step`th byte of every file, and always the first and the last one. */
function* places(made: Made, step: number): Generator<{ name: string; at: number }> {
  let offset = SEED % step;
  for (const [name, { length }] of made.files) {
    for (let at = 0; at < length; at++)
      if (at === 0 || at === length - 1 || (at + offset) % step === 0) yield { name, at };
    offset = (offset + length) % step;
  }
}

const kindOf = (name: string): string => name.split("/")[0] as string;

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

function print(title: string, counts: ReadonlyMap<string, number>): void {
  const parts = [...counts].map(([what, number]) => `${what} ${number}`);
  process.stdout.write(`${title}: ${parts.join(", ")}\n`);
}

describe.each([
  ["unencrypted", false],
  ["encrypted", true],
] as const)("a small %s repository", (title, encrypted) => {
  let made: Made;
  const expected = new Map<string, Content>();

  beforeAll(async () => {
    made = await make(encrypted, tiny);
    for (const backup of made.backups) {
      const restored = await restore(made, backup);
      if (restored instanceof CyrvaultError || restored.incomplete) throw new Error("the fixture is unsound");
      expected.set(backup, restored.content);
    }
  });

  test("is sound as long as nothing is flipped", async () => {
    expect(await complaintOfCheck(made)).toBeUndefined();
    expect([...made.files.keys()].map(kindOf)).toEqual(
      expect.arrayContaining(["cyrvault.json", "packs", "segments", "backups"]),
    );
    expect(made.files.has("cyrvault.json")).toBe(true);
    expect([...made.files.keys()].some((name) => name.startsWith("keys/"))).toBe(encrypted);
    expect(expected.get(made.backups[1] as string)?.size).toBeGreaterThan(10);
  });

  test("check --read-data finds every flipped byte", async () => {
    const counts = new Map<string, number>();
    const missed: string[] = [];
    for (const { name, at } of places(made, CHECK_EVERY)) {
      if ((await complaintOfCheck(flipped(made, name, at))) === undefined) missed.push(`${name} at ${at}`);
      count(counts, kindOf(name));
    }
    print(`flipped bytes found by check, ${title}`, counts);
    expect(missed).toEqual([]);
  });

  test("a restore gives the right bytes or names what it could not give", async () => {
    const counts = new Map<string, number>();
    const wrong: string[] = [];
    for (const { name, at } of places(made, RESTORE_EVERY)) {
      for (const [backup, content] of expected) {
        const restored = await restore(flipped(made, name, at), backup);
        for (const line of silentLoss(content, restored)) wrong.push(`${name} at ${at}: ${line}`);
        const outcome =
          restored instanceof CyrvaultError ? "refused" : restored.incomplete ? "incomplete" : "right";
        count(counts, outcome);
      }
    }
    print(`restores with a flipped byte, ${title}`, counts);
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(counts.get("right")).toBeGreaterThan(0);
    expect(counts.get("incomplete")).toBeGreaterThan(0);
  });
});

test("of a larger repository, a flipped byte at any place that was tried is found and never restored", async () => {
  const made = await make(true, larger);
  const backup = made.backups[1] as string;
  const sound = await restore(made, backup);
  if (sound instanceof CyrvaultError) throw sound;
  const counts = new Map<string, number>();
  const wrong: string[] = [];
  for (const [name, { length }] of made.files) {
    const tries = Math.min(length, HEAVY ? 60 : 3);
    for (let i = 0; i < tries; i++) {
      const at = Math.floor(((i + ((SEED + length) % 97) / 97) * length) / tries);
      const damaged = flipped(made, name, at);
      if ((await complaintOfCheck(damaged)) === undefined) wrong.push(`${name} at ${at}: not found`);
      const restored = i % 3 === 0 ? await restore(damaged, backup) : sound;
      for (const line of silentLoss(sound.content, restored)) wrong.push(`${name} at ${at}: ${line}`);
      count(counts, kindOf(name));
    }
  }
  print("larger repository", counts);
  expect(wrong.slice(0, 20)).toEqual([]);
});

describe("without reading the data", () => {
  let made: Made;
  beforeAll(async () => {
    made = await make(true, tiny);
  });

  test("check finds every pack, segment and key file that is missing", async () => {
    const counts = new Map<string, number>();
    for (const name of made.files.keys()) {
      if (kindOf(name) === "backups") continue;
      const files = new Map(made.files);
      files.delete(name);
      expect(await complaintOfCheck({ ...made, files }, 0), name).toBeDefined();
      count(counts, kindOf(name));
    }
    print("missing files found", counts);
  });

  test("check finds every file that was cut short", async () => {
    const counts = new Map<string, number>();
    for (const [name, bytes] of made.files) {
      const step = HEAVY ? 1 : Math.max(1, Math.floor(bytes.length / 12));
      for (let length = 0; length < bytes.length; length += step) {
        const files = new Map(made.files).set(name, bytes.subarray(0, length));
        expect(await complaintOfCheck({ ...made, files }, 0), `${name} cut at ${length}`).toBeDefined();
        count(counts, kindOf(name));
      }
    }
    print("files cut short found", counts);
  });
});

afterAll(() => {
  for (const name of readdirSync(FAST))
    if (name.startsWith("cyrvault-flipped-")) rmSync(join(FAST, name), { recursive: true, force: true });
});
