import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MailboxPlaces } from "../../../src/backup/mailbox-places.ts";
import { PageCursor } from "../../../src/backup/page-cursor.ts";
import { type Keep, RootsDiscovered, Survey, type SurveyItem } from "../../../src/backup/survey.ts";
import { type ByteString, fromText, pathKey } from "../../../src/base/byte-string.ts";
import { filePages } from "../../../src/manifest/file-page.ts";
import type { FileEntry } from "../../../src/manifest/model.ts";
import type { RootKind, ServerRoot } from "../../../src/source/roots.ts";
import { type PathMapping, SourceView } from "../../../src/source/view.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { collect } from "../manifest/support.ts";

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
  for (const path of [
    "conf/mailboxes.db",
    "conf/user/a/anna.sub",
    "conf/proc/1",
    "spool/user/anna/cyrus.index",
    "spool/user/anna/1.",
    "spool/user/anna/Sub/cyrus.header",
    "spool/user/bob/2.",
    "spool/user/empty/note.txt",
  ]) {
    mkdirSync(dirname(dir.in(path)), { recursive: true });
    writeFileSync(dir.in(path), path);
  }
});
afterEach(() => dir.remove());

const KEEP: Keep = { fileClass: "critical", leftOut: undefined };

function root(kind: RootKind, path: string): ServerRoot {
  const at = fromText(path);
  return {
    kind,
    name: fromText(kind === "partition" ? "default" : ""),
    path: at,
    realPath: fromText(dir.in(path)),
    logicalPath: at,
    configuredPath: at,
  };
}

interface Options {
  readonly roots?: readonly ServerRoot[];
  readonly before?: readonly FileEntry[];
  readonly decide?: (relative: ByteString) => Keep;
  readonly mappings?: readonly PathMapping[];
}

async function survey({
  roots = [root("config", "/conf"), root("partition", "/spool")],
  ...options
}: Options = {}) {
  const places = new MailboxPlaces();
  const findings: string[] = [];
  const { before = [], decide = () => KEEP } = options;
  const walk = new Survey({
    parentRoots: roots.map(({ kind, name, path }) => ({ kind, name, path })),
    view: new SourceView(fromText(dir.path), options.mappings ?? []),
    roots,
    parentFiles: new PageCursor(
      (async function* () {
        // The boundary between two pages falls somewhere else each time.
        for (let at = 0; at < before.length; at += 3)
          yield { page: new Uint8Array(32) as ObjectId, entries: before.slice(at, at + 3) };
      })(),
      filePages.key,
    ),
    places,
    findings: {
      add: (code, severity, path) => {
        findings.push(`${severity} ${code} ${path}`);
        return { accepted: false };
      },
    },
    decide: (_, relative) => decide(relative),
  });
  const items = await collect(walk.items());
  const mailboxes = [...places.all()].map(
    ({ relative, directories }) => `${relative} ${directories.map((it) => it.listed)}`,
  );
  return { items, paths: items.map(({ path }) => path), findings, counts: walk.counts, mailboxes };
}

/** As a backup would record them. */
function entries(items: readonly SurveyItem[]): FileEntry[] {
  return items.map(({ path, stat, fileClass, leftOut, target, mailboxDirectory }) => ({
    path,
    stat,
    fileClass,
    racy: false,
    ...(leftOut === undefined ? {} : { leftOut }),
    ...(target === undefined ? {} : { target }),
    ...(mailboxDirectory === undefined ? {} : { mailboxDirectory }),
  }));
}

describe("a survey", () => {
  test("meets everything below the roots but the files of mailboxes, in the order of pages", async () => {
    const { items, paths, counts, mailboxes, findings } = await survey();
    expect(paths).toEqual([
      "/conf",
      "/conf/mailboxes.db",
      "/conf/proc",
      "/conf/proc/1",
      "/conf/user",
      "/conf/user/a",
      "/conf/user/a/anna.sub",
      "/spool",
      "/spool/user",
      "/spool/user/anna",
      "/spool/user/anna/Sub",
      "/spool/user/bob",
      "/spool/user/empty",
      "/spool/user/empty/note.txt",
    ]);
    expect(paths.map(pathKey)).toEqual([...paths.map(pathKey)].sort());
    expect(mailboxes).toEqual(["user/anna true", "user/anna/Sub true", "user/bob true"]);
    expect(items.filter((item) => item.mailboxDirectory).map(({ path }) => path)).toEqual([
      "/spool/user/anna",
      "/spool/user/anna/Sub",
      "/spool/user/bob",
    ]);
    expect(counts).toEqual({ directories: 10, directoriesListed: 10 });
    expect(findings).toEqual([]);
  });

  test("keeps the order of pages where one name begins like another", async () => {
    for (const name of ["a", "a.b", "a-b", "a b"]) {
      mkdirSync(dir.in("conf/order", name), { recursive: true });
      writeFileSync(dir.in("conf/order", name, "x"), "");
    }
    const { paths } = await survey();
    expect(paths.map(pathKey)).toEqual([...paths.map(pathKey)].sort());
    expect(paths.filter((path) => path.includes("order")).length).toBe(9);
  });

  test("does not enter a directory that is left out", async () => {
    const decide = (relative: ByteString): Keep =>
      relative === "proc" ? { fileClass: "disposable", leftOut: "runtime" } : KEEP;
    const { items, counts } = await survey({ decide });
    expect(items.filter(({ path }) => path.startsWith("/conf/proc")).map(({ leftOut }) => leftOut)).toEqual([
      "runtime",
    ]);
    expect(counts.directories).toBe(9);
  });

  test("names pipes and passes them over", async () => {
    execFileSync("mkfifo", [dir.in("conf/pipe"), dir.in("spool/user/anna/pipe")]);
    const { findings, paths } = await survey();
    expect(findings).toEqual(["note special-file /conf/pipe", "note special-file /spool/user/anna/pipe"]);
    expect(paths.some((path) => path.endsWith("pipe"))).toBe(false);
  });

  test("is silent about a root that is not there", async () => {
    expect((await survey({ roots: [root("sieve", "/absent")] })).paths).toEqual([]);
  });
});

describe("beside a parent", () => {
  test("a server as it was is walked without listing anything", async () => {
    const first = await survey();
    const second = await survey({ before: entries(first.items) });
    expect(second.counts).toEqual({ directories: 10, directoriesListed: 0 });
    expect(second.paths).toEqual(first.paths);
    expect(second.mailboxes).toEqual(["user/anna false", "user/anna/Sub false", "user/bob false"]);
    expect(second.items.every(({ before, path }) => before?.path === path)).toBe(true);
  });

  test("only the directory that changed is listed, and what is new in it is met", async () => {
    const before = entries((await survey()).items);
    writeFileSync(dir.in("conf/user/a/anna.seen"), "");
    const { counts, paths } = await survey({ before });
    expect(counts).toEqual({ directories: 10, directoriesListed: 1 });
    expect(paths).toContain("/conf/user/a/anna.seen");
  });

  test("a directory that was racy is listed, though it seems unchanged", async () => {
    const before = entries((await survey()).items).map((entry) =>
      entry.path === "/conf/user" ? { ...entry, racy: true } : entry,
    );
    expect((await survey({ before })).counts.directoriesListed).toBe(1);
  });

  test("a directory that was left out and no longer is gets listed", async () => {
    const leaveOut = (relative: ByteString): Keep =>
      relative === "user" ? { fileClass: "expensive", leftOut: "x" } : KEEP;
    const before = entries((await survey({ roots: [root("config", "/conf")], decide: leaveOut })).items);
    const { counts, paths } = await survey({ roots: [root("config", "/conf")], before });
    expect(counts.directoriesListed).toBe(2);
    expect(paths).toContain("/conf/user/a/anna.sub");
  });

  test("what is gone is passed over, with all that was below it", async () => {
    const before = entries((await survey()).items);
    rmSync(dir.in("conf/user"), { recursive: true });
    rmSync(dir.in("spool/user/anna"), { recursive: true });
    const { paths, mailboxes, items } = await survey({ before });
    expect(paths).toEqual([
      "/conf",
      "/conf/mailboxes.db",
      "/conf/proc",
      "/conf/proc/1",
      "/spool",
      "/spool/user",
      "/spool/user/bob",
      "/spool/user/empty",
      "/spool/user/empty/note.txt",
    ]);
    expect(mailboxes).toEqual(["user/bob false"]);
    expect(items.at(-1)?.before?.path).toBe("/spool/user/empty/note.txt");
  });

  test("a directory in whose place there is a file is met as a file", async () => {
    const before = entries((await survey()).items);
    rmSync(dir.in("conf/user"), { recursive: true });
    writeFileSync(dir.in("conf/user"), "");
    const { items } = await survey({ before });
    expect(items.find(({ path }) => path === "/conf/user")?.type).toBe("file");
    expect(items.some(({ path }) => path.startsWith("/conf/user/"))).toBe(false);
  });

  test("a mailbox that has become one, or is none any more, is seen as such", async () => {
    const before = entries((await survey()).items);
    writeFileSync(dir.in("spool/user/empty/cyrus.header"), "");
    rmSync(dir.in("spool/user/bob/2."));
    const { mailboxes } = await survey({ before });
    expect(mailboxes).toEqual(["user/anna false", "user/anna/Sub false", "user/empty true"]);
  });
});

describe("a symbolic link", () => {
  test("to a directory of no root makes that one a root, in the partition's name space", async () => {
    mkdirSync(dir.in("disk2/carla"), { recursive: true });
    writeFileSync(dir.in("disk2/carla/cyrus.header"), "");
    symlinkSync("/disk2/carla", dir.in("spool/user/carla"));
    const roots = [root("partition", "/spool")];
    const discovered = await survey({ roots }).catch((error) => error);
    expect(discovered).toBeInstanceOf(RootsDiscovered);
    expect(discovered.roots).toHaveLength(1);
    expect(discovered.roots[0]).toMatchObject({
      kind: "partition",
      name: "default",
      path: "/disk2/carla",
      realPath: dir.in("disk2/carla"),
      logicalPath: "/spool/user/carla",
      configuredPath: "/spool",
    });
    const { items, mailboxes } = await survey({ roots: [...roots, ...discovered.roots] });
    expect(items.find(({ path }) => path === "/spool/user/carla")).toMatchObject({
      type: "symlink",
      target: "/disk2/carla",
    });
    expect(mailboxes).toContain("user/carla true");
  });

  test("leads to all further roots in one walk, however many there are", async () => {
    for (const name of ["a", "b", "c"]) {
      mkdirSync(dir.in(`disk2/${name}`), { recursive: true });
      symlinkSync(`/disk2/${name}`, dir.in(`spool/user/${name}`));
    }
    const discovered = await survey({ roots: [root("partition", "/spool")] }).catch((error) => error);
    expect(discovered.roots.map(({ path }: { path: string }) => path)).toEqual([
      "/disk2/a",
      "/disk2/b",
      "/disk2/c",
    ]);
  });

  test("to a place in a root is kept and not walked twice", async () => {
    symlinkSync("anna", dir.in("spool/user/alias"));
    const { paths, mailboxes } = await survey();
    expect(paths.filter((path) => path.includes("alias"))).toEqual(["/spool/user/alias"]);
    expect(mailboxes.length).toBe(3);
  });

  test("to nothing is kept with a note, but in a partition of a snapshot it may be live mail: refused", async () => {
    symlinkSync("/nowhere", dir.in("conf/dangling"));
    const { findings, items } = await survey();
    expect(findings).toEqual(["note symlink-directory /conf/dangling"]);
    expect(items.find(({ path }) => path === "/conf/dangling")?.target).toBe("/nowhere");
    symlinkSync("/disk9", dir.in("spool/user/zoe"));
    await expect(survey()).rejects.toMatchObject({
      code: "SOURCE_INVALID",
      hint: expect.stringContaining("--map"),
    });
  });

  test("that is left out is not followed", async () => {
    mkdirSync(dir.in("elsewhere"));
    symlinkSync("/elsewhere", dir.in("conf/socket"));
    const decide = (relative: ByteString): Keep =>
      relative === "socket" ? { fileClass: "disposable", leftOut: "runtime" } : KEEP;
    expect((await survey({ decide })).items.find(({ path }) => path === "/conf/socket")?.leftOut).toBe(
      "runtime",
    );
  });
});

test("what is mapped below a root is read where it lies, not in the empty directory that the snapshot has there", async () => {
  mkdirSync(dir.in("other/carla"), { recursive: true });
  writeFileSync(dir.in("other/carla/cyrus.header"), "header");
  mkdirSync(dir.in("spool/c"));
  const mappings = [{ from: fromText("/spool/c"), to: fromText(dir.in("other")) }];
  const { items, mailboxes } = await survey({ roots: [root("partition", "/spool")], mappings });
  const found = items.filter(({ path }) => path.startsWith("/spool/c"));
  expect(found.map(({ path, realPath }) => [path, realPath])).toEqual([
    ["/spool/c", dir.in("other")],
    ["/spool/c/carla", dir.in("other/carla")],
  ]);
  expect(mailboxes).toContain("c/carla true");
});

test("another filesystem inside a snapshot is refused, with the --map to give", async () => {
  const dev: ServerRoot = { ...root("config", "/dev"), realPath: fromText("/dev") };
  const mappings = [{ from: fromText("/dev"), to: fromText("/dev") }];
  await expect(survey({ roots: [dev], mappings, decide: keepDirectories })).rejects.toMatchObject({
    code: "SOURCE_INVALID",
    message: expect.stringMatching(/another filesystem is mounted at \/dev\/\w+/),
    hint: expect.stringMatching(/--map \/dev\/\w+=/),
  });
});

/** Of /dev only the mounts are of interest. */
function keepDirectories(relative: ByteString): Keep {
  return relative === "shm" || relative === "pts" ? KEEP : { fileClass: "disposable", leftOut: "device" };
}
