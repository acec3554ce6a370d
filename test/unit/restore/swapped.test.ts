/** Somebody changes the target while a restore writes into it: a directory becomes a symlink. Nothing is written through it. */
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { compareTrees, readTree } from "../../support/tree-compare.ts";
import { backUp, comparable, makeServer, restoreTo, type Stored } from "./restore-fixture.ts";

const MODE = 0o750;
let stored: Stored;
let server: string;

beforeAll(async () => {
  const dir = tempDir();
  server = dir.in("server");
  makeServer(server);
  stored = await backUp(server);
});

/** Where mail is restored to, the innermost last. */
function directoriesIn(place: string): string[] {
  if (!existsSync(place)) return [];
  return readdirSync(place, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((a, b) => a.length - b.length);
}

interface Swapped {
  readonly dir: TempDir;
  readonly outside: string;
  readonly code: string;
  readonly swaps: number;
}

/** @param choose - of the directories that are there, the one that goes. */
async function restoreWhileSwapped(
  after: number,
  choose: (directories: readonly string[]) => string | undefined,
): Promise<Swapped> {
  const dir = tempDir();
  onTestFinished(() => dir.remove());
  const [target, outside] = [dir.in("target"), dir.in("outside")];
  mkdirSync(target);
  mkdirSync(outside, { mode: MODE });
  let calls = 0;
  let swaps = 0;
  const progressed = () => {
    if (++calls !== after) return;
    const gone = choose(directoriesIn(join(target, server)));
    if (gone === undefined) return;
    renameSync(gone, `${gone} moved`);
    symlinkSync(outside, gone);
    swaps++;
  };
  const code = await restoreTo(
    target,
    stored,
    {},
    {
      progress: new Proxy(new (await import("../../../src/base/progress.ts")).Progress(), {
        get: (of, name) => {
          const value = Reflect.get(of, name) as unknown;
          if (typeof value !== "function") return value;
          if (name === "add") progressed();
          return value.bind(of);
        },
      }),
    },
  ).then(
    () => "done",
    (error: unknown) => (isCyrvaultError(error) ? error.code : String(error)),
  );
  return { dir, outside, code, swaps };
}

describe("a directory that becomes a symlink while a restore writes", () => {
  test.each([
    ["the innermost", (all: readonly string[]) => all.at(-1)],
    ["one in the middle", (all: readonly string[]) => all[all.length >> 1]],
    ["the first", (all: readonly string[]) => all[0]],
  ])("(%s) leads nothing out of the target", async (_, choose) => {
    const codes = new Map<string, number>();
    let swaps = 0;
    for (let after = 1; after <= 60; after += 4) {
      const result = await restoreWhileSwapped(after, choose);
      expect(readdirSync(result.outside), `after ${after}: ${result.code}`).toEqual([]);
      expect(lstatSync(result.outside).mode & 0o7777).toBe(MODE);
      swaps += result.swaps;
      codes.set(result.code, (codes.get(result.code) ?? 0) + 1);
      result.dir.remove();
    }
    expect(swaps).toBeGreaterThan(5);
    expect([...codes.keys()].filter((code) => !["done", "TARGET_REFUSED", "IO"].includes(code))).toEqual([]);
    expect(codes.get("TARGET_REFUSED") ?? 0).toBeGreaterThan(0);
  });

  test("and nothing else has changed: a target below a symlink of the administrator's is whole", async () => {
    using dir = tempDir();
    mkdirSync(dir.in("real"));
    symlinkSync(dir.in("real"), dir.in("link"));
    await restoreTo(join(dir.in("link"), "below"), stored);
    expect(
      compareTrees(readTree(server), readTree(join(dir.in("real"), "below", server)), comparable),
    ).toEqual([]);
  });
});
