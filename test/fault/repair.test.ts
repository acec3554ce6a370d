/**
 * Damage of every kind at every kind of file: a check names it, a repair mends it, and afterwards the check is clean. With
 * a copy of the repository nothing is lost; with the server's files no message that is still there; without anything
 * what is lost is named, and everything else comes back byte for byte. `CYRVAULT_HEAVY=1` tries more places.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RepairResult } from "../../src/repair/options.ts";
import { describeWithPython, PYTHON } from "../support/describe-with-python.ts";
import { faultyBackend } from "../support/faulty-backend.ts";
import { tempDir } from "../support/temp-dir.ts";
import {
  check,
  contentOf,
  copyOf,
  type Files,
  flip,
  namesOf,
  PASSWORD,
  type Remedies,
  type Restored,
  repair,
  restore,
  Vault,
} from "../unit/repair/repair-fixture.ts";

const READER = join(import.meta.dirname, "../../docs/formats/reader.py");
const PLACES = process.env["CYRVAULT_HEAVY"] === "1" ? 40 : 4;
const WHOLE_PAGES = /^\d+ (files|mailboxes|messages|findings)\b/;

/** Its name has the backup's id. */
const TEXT_LIST = "/cyrvault-mailbox-list.txt";

interface Harm {
  readonly name: string;
  readonly what: string;
  readonly do: (files: Files) => void;
}

/** At the beginning, at the end, and between: header, blocks, directory, footer. */
function* harms(files: Files): Generator<Harm> {
  for (const [name, { length }] of files) {
    if (name === "cyrvault.json" || name.startsWith("keys/")) continue;
    const places = new Set([5, length - 1, length - 20, length - 60]);
    for (let i = 0; i < PLACES; i++) places.add(Math.floor(((i + 0.5) * length) / PLACES));
    for (const at of places)
      if (at >= 0 && at < length)
        yield { name, what: `flipped at ${at} of ${length}`, do: (all) => flip(all, name, at) };
    for (const cut of [0, length >> 1, length - 1])
      yield {
        name,
        what: `cut at ${cut} of ${length}`,
        do: (all) => all.set(name, (all.get(name) as Buffer).subarray(0, cut)),
      };
    yield { name, what: "removed", do: (all) => all.delete(name) };
  }
}

function kindOf({ name, what }: Harm): string {
  return `${name.split("/")[0]} ${what.split(" ")[0]}`;
}

const outcomes = new Map<string, number>();
const count = (what: string) => outcomes.set(what, (outcomes.get(what) ?? 0) + 1);

function silentLoss(sound: Restored, restored: Restored): string[] {
  const wrong: string[] = [];
  for (const [path, bytes] of restored.content)
    if (sound.content.get(path) !== bytes) wrong.push(`${path} has other bytes`);
  const pages = restored.messages.some((message) => WHOLE_PAGES.test(message.split(": ").at(-1) ?? ""));
  for (const path of sound.content.keys()) {
    if (restored.content.has(path)) continue;
    if (path === TEXT_LIST) {
      if (!restored.messages.some((message) => message.endsWith("the text mailbox list")))
        wrong.push("the text mailbox list is missing and not named");
    } else if (!restored.incomplete) wrong.push(`${path} is missing, and the restore calls itself complete`);
    else if (!restored.named.has(path) && !pages) wrong.push(`${path} is missing and not named`);
  }
  return wrong;
}

describe.each([
  ["unencrypted", false],
  ["encrypted", true],
] as const)("a small %s repository", (_, encrypted) => {
  let vault: Vault;
  const expected = new Map<string, Restored>();

  beforeAll(async () => {
    vault = await Vault.make(encrypted);
    for (const backup of vault.backups) expected.set(backup, await restore(vault.files, backup));
    expect((await check(copyOf(vault.files))).errors).toEqual([]);
    for (const { incomplete, content } of expected.values()) {
      expect(incomplete).toBe(false);
      expect(content.size).toBeGreaterThan(10);
    }
  });
  afterAll(() => vault[Symbol.dispose]());

  /** @returns what is wrong after the repair: nothing. */
  async function wrongAfter(files: Files, result: RepairResult | undefined): Promise<string[]> {
    const wrong: string[] = [];
    const { errors } = await check(files);
    for (const { code, path, message } of errors) wrong.push(`still ${code} ${path}: ${message}`);
    for (const [backup, sound] of expected) {
      const repaired = result?.backups.find((one) => one.backup === backup);
      const now = repaired === undefined ? backup : repaired.became;
      if (now === undefined || !files.has(`backups/${now}`)) {
        if (repaired === undefined && files.has(`backups/${backup}`) !== true && !isRootGone(files, backup))
          wrong.push(`${backup} has gone without a word`);
        continue;
      }
      const restored = await restore(files, now);
      wrong.push(...silentLoss(sound, restored).map((line) => `${backup}: ${line}`));
      if (repaired === undefined && restored.incomplete)
        wrong.push(`${backup} is incomplete, and not said to be`);
    }
    return wrong;
  }

  /** A root that is not there is a backup that is not there: nothing can know of it. */
  function isRootGone(files: Files, backup: string): boolean {
    return !files.has(`backups/${backup}`);
  }

  const remedies: readonly (readonly [string, (sound: Files) => Remedies])[] = [
    ["nothing else", () => ({})],
    ["the server's files", () => ({ spool: vault.spool })],
    ["a copy of the repository", (sound) => ({ other: copyOf(sound) })],
  ];

  test.each(remedies)("is mended with %s", async (title, remedy) => {
    const wrong: string[] = [];
    for (const harm of harms(vault.files)) {
      const files = copyOf(vault.files);
      harm.do(files);
      const before = await check(files);
      const isNoticed = before.errorsTotal > 0;
      // Nothing knows of a backup, a forgotten one or a record of that kind that is gone altogether.
      if (!isNoticed && !(harm.what === "removed" && harm.name.startsWith("backups/")))
        wrong.push(`${harm.name} ${harm.what}: not noticed`);
      const plan = await repair(copyOf(files), { ...remedy(vault.files), dryRun: true });
      const result = await repair(files, remedy(vault.files));
      if ((plan?.lostTotal ?? 0) > 0 !== (result?.lostTotal ?? 0) > 0)
        wrong.push(
          `${harm.name} ${harm.what}: planned to lose ${plan?.lostTotal}, lost ${result?.lostTotal}`,
        );
      if (title === "the server's files")
        for (const { mailbox, uid, backup } of result?.lost ?? [])
          if (uid !== undefined) wrong.push(`${harm.name} ${harm.what}: lost ${mailbox} ${uid} of ${backup}`);
      if (title === "a copy of the repository" && isNoticed && result?.lostTotal !== 0)
        wrong.push(`${harm.name} ${harm.what}: lost ${JSON.stringify(result?.lost)}`);
      for (const line of await wrongAfter(files, result)) wrong.push(`${harm.name} ${harm.what}: ${line}`);
      count(
        `${kindOf(harm)}: ${result === undefined ? "none" : result.lostTotal === 0 ? "whole again" : "cut"}`,
      );
      if (wrong.length > 10) break;
    }
    expect(wrong).toEqual([]);
  });
});

describe("broken off at any write", () => {
  const WRITES = new Set(["create", "begin", "append", "commit", "replace", "remove"]);
  const packOf = (files: Files, order: number): string =>
    namesOf(files, "packs/").sort((a, b) => (files.get(b)?.length ?? 0) - (files.get(a)?.length ?? 0))[
      order
    ] as string;

  test.each([
    ["while what a block lost is taken from the server", "flip"],
    ["while what a pack lost is cut out", "remove"],
  ])("%s, it can be started again, and ends as if it had not been", async (title, harm) => {
    using vault = await Vault.make(true);
    const expected = new Map<string, Restored>();
    for (const backup of vault.backups) expected.set(backup, await restore(vault.files, backup));
    const remedies: Remedies = harm === "flip" ? { spool: vault.spool } : {};
    const name = packOf(vault.files, 0);
    if (harm === "flip") flip(vault.files, name, (vault.files.get(name)?.length ?? 0) >> 1);
    else vault.files.delete(name);
    // Something else that is damaged, too.
    flip(vault.files, namesOf(vault.files, "segments/")[0] as string, 100);

    let writes = 0;
    const counting = copyOf(vault.files);
    const whole = await repair(counting, {
      ...remedies,
      wrap: (backend) =>
        faultyBackend(backend, {
          failAt: (_, operation) => {
            if (WRITES.has(operation)) writes++;
            return false;
          },
        }),
    });
    expect(writes).toBeGreaterThan(10);
    let points = 0;
    const wrong: string[] = [];
    for (const when of ["before", "after"] as const)
      for (let stop = 1; stop <= writes; stop++) {
        const files = copyOf(vault.files);
        let seen = 0;
        let isDown = false;
        const wrap = (backend: Parameters<NonNullable<Remedies["wrap"]>>[0]) =>
          faultyBackend(backend, {
            when,
            failAt: (_, operation) => {
              if (isDown) return true;
              if (WRITES.has(operation)) seen++;
              isDown = seen >= stop;
              return isDown;
            },
          });
        await repair(files, { ...remedies, wrap }).catch(() => undefined);
        // The process that it was is no more.
        for (const run of namesOf(files, "runs/")) files.delete(run);
        await repair(files, remedies);
        const at = `${when} write ${stop}`;
        for (const { path, message } of (await check(files)).errors) wrong.push(`${at}: ${path} ${message}`);
        for (const [backup, sound] of expected) {
          const standing = namesOf(files, "backups/").filter((one) => one.includes(backup.slice(0, 16)));
          if (standing.length === 0) wrong.push(`${at}: ${backup} has gone`);
          for (const one of standing) {
            const restored = await restore(files, one.slice("backups/".length));
            wrong.push(...silentLoss(sound, restored).map((line) => `${at}: ${line}`));
            const inWhole = whole?.lost.filter((lost) => lost.backup === backup).length ?? 0;
            const lostNow = [...sound.content.keys()].filter((path) => !restored.content.has(path)).length;
            if (lostNow > inWhole) wrong.push(`${at}: ${one} lost ${lostNow}, not ${inWhole}`);
          }
        }
        points++;
        if (wrong.length > 10) break;
      }
    count(`broken off ${title}`);
    process.stdout.write(`repair broken off at ${points} points: ${title}\n`);
    expect(wrong).toEqual([]);
  });
});

describeWithPython("the second reader", () => {
  test("reads what a repair has left, and restores the same of it", async () => {
    using vault = await Vault.make(true);
    using dir = tempDir();
    const [first = ""] = namesOf(vault.files, "packs/").sort(
      (a, b) => (vault.files.get(b)?.length ?? 0) - (vault.files.get(a)?.length ?? 0),
    );
    vault.files.delete(first);
    const result = await repair(vault.files);
    const backup = result?.backups.at(-1)?.became ?? "";
    for (const [name, bytes] of vault.files) {
      mkdirSync(dirname(join(dir.in("repository"), name)), { recursive: true });
      writeFileSync(join(dir.in("repository"), name), bytes);
    }
    const reader = (...args: string[]) =>
      spawnSync(PYTHON, [READER, dir.in("repository"), ...args], {
        env: { CYRVAULT_PASSWORD: PASSWORD, LC_ALL: "C.UTF-8", PYTHONDONTWRITEBYTECODE: "1" },
        encoding: "utf8",
      });
    expect(reader("check")).toMatchObject({ status: 0, stderr: "" });
    reader("restore", backup, dir.in("theirs"));
    const ours = await restore(vault.files, backup);
    expect(ours.incomplete).toBe(true);
    const theirs = contentOf(dir.in("theirs"));
    for (const [path, bytes] of ours.content)
      if (path !== TEXT_LIST) expect(theirs.get(path), path).toBe(bytes);
    for (const path of theirs.keys()) expect(ours.content.has(path), path).toBe(true);
  });
});

afterAll(() => {
  const lines = [...outcomes]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([what, number]) => `${what} ${number}`);
  process.stdout.write(`repairs: ${lines.join(", ")}\n`);
});
