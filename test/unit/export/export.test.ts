import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { Progress } from "../../../src/base/progress.ts";
import { type ExportOptions, planExport } from "../../../src/export/plan.ts";
import { type ExportResult, runExport } from "../../../src/export/run.ts";
import type { RestoreSource } from "../../../src/restore/run-context.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { compareTrees, readTree } from "../../support/tree-compare.ts";
import {
  backUp,
  makeServer,
  messageFiles,
  openStored,
  readRoot,
  restoreOptions,
  restoreTo,
  type Stored,
} from "../restore/restore-fixture.ts";

let made: TempDir;
let server: string;
let stored: Stored;

/** Larger than what is held in memory while it is verified. */
const LARGE_BYTES = 17 * 1024 * 1024;

beforeAll(async () => {
  made = tempDir();
  server = made.in("server");
  makeServer(server);
  const [first = "", second = ""] = messageFiles(server);
  linkSync(first, join(second, "../900."));
  linkSync(join(server, "conf/annotations.db"), join(server, "conf/annotations-too"));
  symlinkSync("../elsewhere/\u00fc", join(server, "conf/link"));
  writeFileSync(Buffer.from(`${server}/conf/na\xefve`, "latin1"), "Latin-1");
  writeFileSync(join(server, "conf", "n".repeat(250)), "a long name");
  writeFileSync(join(second, "../901."), largeMessage());
  utimesSync(join(server, "conf"), 1_000_000_000.25, 1_000_000_000.25);
  stored = await backUp(server);
});

afterAll(() => made.remove());

function largeMessage(): Buffer {
  const body = Buffer.alloc(LARGE_BYTES, "This line is one of many lines.\r\n");
  return Buffer.concat([Buffer.from("Subject: large\r\n\r\n"), body]);
}

interface Exported {
  readonly archive: Buffer;
  readonly result: ExportResult | undefined;
  readonly error: unknown;
}

async function exportTar(
  options: Partial<ExportOptions> = {},
  change: (source: RestoreSource) => RestoreSource = (source) => source,
): Promise<Exported> {
  const repository = await openStored(stored.files);
  const root = await readRoot(repository, stored.backup.backup);
  const { objects } = repository;
  const prepared = await planExport(restoreOptions("/", options), root, objects);
  const parts: Buffer[] = [];
  let result: ExportResult | undefined;
  let error: unknown;
  try {
    result = await runExport(prepared, {
      source: change(objects),
      sink: async (bytes) => void parts.push(Buffer.from(bytes)),
      clock: systemClock,
      progress: new Progress(),
    });
  } catch (caught) {
    error = caught;
  }
  await repository.close();
  return { archive: Buffer.concat(parts), result, error };
}

function unpack(archive: Buffer, directory: string): void {
  mkdirSync(directory);
  execFileSync("tar", ["-xp", "--warning=no-unknown-keyword", "-C", directory], {
    input: archive,
    env: { ...process.env, LC_ALL: "C" },
  });
}

/** Beside what is restored: the runbook, which an archive has not. */
function removeOwnFiles(target: string): void {
  for (const name of readdirSync(target)) if (name.startsWith("cyrvault-runbook")) rmSync(join(target, name));
}

const CASES: readonly (readonly [string, Partial<ExportOptions>])[] = [
  ["everything", {}],
  ["one mailbox", { mailboxes: [fromText("user.%.%")] }],
  ["the sieve scripts", { only: [{ part: "sieve" }] }],
  ["everything, for another owner", { owner: { uid: 4321, gid: 8765 } }],
];

test.each(CASES)("GNU tar makes of the archive what a restore makes: %s", async (_, options) => {
  using dir = tempDir();
  const { archive, result, error } = await exportTar(options);
  expect(error).toBeUndefined();
  unpack(archive, dir.in("unpacked"));
  mkdirSync(dir.in("restored"));
  const restored = await restoreTo(dir.in("restored"), stored, options);
  removeOwnFiles(dir.in("restored"));
  // Above the server's roots each makes directories in its own way.
  const isAbove = (path: string) =>
    path === "." ||
    server.startsWith(`/${path}`) ||
    path === `${server.slice(1)}/etc` ||
    /^etc(\/[^/]*)?$/.test(path);
  const expected = readTree(dir.in("restored"));
  expect(
    compareTrees(expected, readTree(dir.in("unpacked")), {
      presenceOnly: isAbove,
    }),
  ).toEqual([]);
  expect(expected.size).toBeGreaterThan(5);
  const { mailboxes, messages, files } = restored;
  expect(result).toMatchObject({ mailboxes, messages, files, incomplete: false });
});

test("--map moves what lies below a path", async () => {
  using dir = tempDir();
  const mapping = { from: fromText(`${server}/conf`), to: fromText("/moved") };
  const { archive } = await exportTar({ only: [{ part: "configdirectory" }], mappings: [mapping] });
  unpack(archive, dir.in("unpacked"));
  const names = readdirSync(dir.in("unpacked/moved"));
  expect(names).toContain("mailboxes.db");
  expect(readdirSync(dir.in("unpacked")).filter((name) => !name.startsWith("cyrvault-"))).toEqual(["moved"]);
});

test("no mailbox of that name is an error before the first byte", async () => {
  await expect(exportTar({ mailboxes: [fromText("user.nobody")] })).rejects.toThrow("no mailbox");
});

test("a damaged message is named, left out, and makes the export incomplete", async () => {
  let streams = 0;
  const { archive, result, error } = await exportTar({}, (source) => ({
    get: (kind, id) => source.get(kind, id),
    async *stream(kind, id) {
      if (++streams === 1) throw new CyrvaultError("REPOSITORY_DAMAGED", "broken here");
      yield* source.stream(kind, id);
    },
  }));
  expect(error).toBeUndefined();
  expect(result?.incomplete).toBe(true);
  expect(result?.findings).toContainEqual(
    expect.objectContaining({ code: "object-damaged", message: "not exported: broken here" }),
  );
  expect(() => execFileSync("tar", ["-t", "--warning=no-unknown-keyword"], { input: archive })).not.toThrow();
});

test.each([
  [
    "fails",
    async function* (whole: AsyncIterable<Uint8Array>) {
      for await (const stretch of whole) {
        yield stretch.subarray(0, 10);
        throw new CyrvaultError("REPOSITORY_DAMAGED", "broken now");
      }
    },
  ],
  [
    "gives less",
    async function* (whole: AsyncIterable<Uint8Array>) {
      for await (const stretch of whole) {
        yield stretch.subarray(0, 10);
        return;
      }
    },
  ],
  [
    "gives more",
    async function* (whole: AsyncIterable<Uint8Array>) {
      yield* whole;
      yield Buffer.from("more");
    },
  ],
])("a large message whose second reading %s ends the archive, and tar sees it", async (_, spoil) => {
  const seen = new Map<string, number>();
  const { archive, error } = await exportTar({ mailboxes: [fromText("*")] }, (source) => ({
    get: (kind, id) => source.get(kind, id),
    async *stream(kind, id) {
      const key = Buffer.from(id).toString("hex");
      const times = (seen.get(key) ?? 0) + 1;
      seen.set(key, times);
      const whole = source.stream(kind, id);
      if (times === 2) yield* spoil(whole);
      else yield* whole;
    },
  }));
  expect(error).toMatchObject({ code: "REPOSITORY_DAMAGED" });
  expect(String(error)).toContain("901.");
  expect(() =>
    execFileSync("tar", ["-t", "--warning=no-unknown-keyword"], { input: archive, stdio: "pipe" }),
  ).toThrow();
});

test("nothing is unpacked through a symbolic link that the repository has put there", async () => {
  const repository = await openStored(stored.files);
  const root = await readRoot(repository, stored.backup.backup);
  const { objects } = repository;
  const prepared = await planExport(restoreOptions("/"), root, objects);
  // The mailboxes' directories become what the link is: everything that lies there has it above.
  const link = fromText(`${server}/conf/link`).slice(1);
  const hostile = {
    ...prepared,
    tree: Object.assign(Object.create(prepared.tree), {
      locate: (path: ByteString) =>
        path.includes("/conf/user")
          ? (path.replace(/.*\/conf\/user[^/]*/, link) as ByteString)
          : prepared.tree.locate(path),
    }),
  };
  const exported = runExport(hostile, {
    source: objects,
    sink: async () => undefined,
    clock: systemClock,
    progress: new Progress(),
  });
  await expect(exported).rejects.toThrow("symbolic link");
  await repository.close();
});
