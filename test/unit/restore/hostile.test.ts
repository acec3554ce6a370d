import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import type { MailboxFile } from "../../../src/manifest/model.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { compareTrees, readTree } from "../../support/tree-compare.ts";
import {
  type Claims,
  directory,
  file,
  HostileRepository,
  mailboxDirectory,
  stat,
  symlink,
} from "./hostile-fixture.ts";

/** A target, and beside it something that nobody may touch. */
class Scene {
  readonly dir: TempDir;
  readonly #before: ReturnType<typeof readTree>;

  constructor() {
    this.dir = tempDir();
    mkdirSync(this.dir.in("target"));
    mkdirSync(this.dir.in("canary/inner"), { recursive: true });
    writeFileSync(this.dir.in("canary/bird"), "sings");
    this.#before = readTree(this.dir.in("canary"));
  }

  get target(): string {
    return this.dir.in("target");
  }

  get canary(): string {
    return this.dir.in("canary");
  }

  expectUntouched(): void {
    expect(compareTrees(this.#before, readTree(this.canary))).toEqual([]);
    expect(readdirSync(this.dir.path).sort()).toEqual(["canary", "target"]);
  }

  [Symbol.dispose](): void {
    this.dir.remove();
  }
}

function mailboxFile(fields: Partial<MailboxFile>): MailboxFile {
  return {
    directory: 0,
    name: "cyrus.header" as ByteString,
    stat: stat(0o100600, { size: 4 }),
    fileClass: "critical",
    content: { form: "inline", bytes: Buffer.from("evil") },
    racy: false,
    ...fields,
  };
}

const SPOOL = directory("/spool");

const REFUSED: readonly [string, Claims][] = [
  ["a path with ..", { files: [SPOOL, file("/spool/../../canary/bird")] }],
  ["a path with .. at its end", { files: [SPOOL, directory("/spool/..")] }],
  ["a path with two slashes", { files: [SPOOL, file("/spool//a")] }],
  ["a path with a dot", { files: [SPOOL, file("/spool/./a")] }],
  ["a path with a slash at its end", { files: [SPOOL, file("/spool/a/")] }],
  ["a path with a NUL", { files: [SPOOL, file("/spool/a\0b")] }],
  ["a relative path", { files: [file("spool/a")] }],
  ["an empty path", { files: [file("")] }],
  [
    "a path outside of all roots",
    { roots: [{ kind: "config", name: "", path: fromText("/conf") }], files: [file("/config")] },
  ],
  ["the root of everything as a root", { roots: [{ kind: "partition", name: "x", path: fromText("/") }] }],
  ["a root with ..", { roots: [{ kind: "partition", name: "x", path: fromText("/spool/../..") }] }],
  ["a relative root", { roots: [{ kind: "partition", name: "x", path: fromText("spool") }] }],
  ["an empty root", { roots: [{ kind: "partition", name: "x", path: fromText("") }] }],
  ["a root that is a file", { files: [file("/spool")] }],
  ["a root that is a symlink", { files: [symlink("/spool", "/etc")] }],
  [
    "a mailbox's directory outside of all roots",
    { mailboxes: [{ entry: { directories: [mailboxDirectory("/elsewhere")] } }] },
  ],
  [
    "a mailbox's directory with ..",
    { mailboxes: [{ entry: { directories: [mailboxDirectory("/spool/../../canary")] } }] },
  ],
  ["a message with UID 0", { mailboxes: [{ entry: {}, messages: [{ uid: 0 }] }] }],
  [
    "a message in a directory that is not there",
    { mailboxes: [{ entry: {}, messages: [{ directory: 1 }] }] },
  ],
  [
    "a mailbox's file in a directory that is not there",
    { mailboxes: [{ entry: { files: [mailboxFile({ directory: 9 })] } }] },
  ],
  ...["../../../canary/bird", "a/b", "..", ".", "", "a\0b", "/etc/passwd"].map((name): [string, Claims] => [
    `a mailbox's file called ${JSON.stringify(name)}`,
    { mailboxes: [{ entry: { files: [mailboxFile({ name: name as ByteString })] } }] },
  ]),
];

test.each(REFUSED)("%s is refused before anything is written", async (_, claims) => {
  using scene = new Scene();
  const hostile = await HostileRepository.make(claims);
  await expect(hostile.restoreTo(scene.target)).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
  expect(readdirSync(scene.target)).toEqual([]);
  scene.expectUntouched();
});

test("a symlink in a backup is written and never gone through, not even by a second restore", async () => {
  using scene = new Scene();
  const link = symlink("/spool/a", scene.canary);
  const claims: Claims = {
    files: [SPOOL, link, file("/spool/a/bird")],
    mailboxes: [
      { entry: { directories: [mailboxDirectory("/spool/a/inner")], files: [mailboxFile({})] } },
      { entry: { name: "x" as ByteString, directories: [mailboxDirectory("/spool/a")] } },
    ],
  };
  const hostile = await HostileRepository.make(claims);
  await expect(hostile.restoreTo(scene.target)).rejects.toMatchObject({ code: "TARGET_REFUSED" });
  await expect(hostile.restoreTo(scene.target)).rejects.toMatchObject({ code: "TARGET_REFUSED" });
  for (const overwrite of ["never", "if-different"] as const)
    await expect(hostile.restoreTo(scene.target, { overwrite })).rejects.toMatchObject({
      code: "TARGET_REFUSED",
    });
  scene.expectUntouched();
});

test("a root below a symlink that an earlier restore made is not gone through", async () => {
  using scene = new Scene();
  const planting = await HostileRepository.make({ files: [SPOOL, symlink("/spool/a", scene.canary)] });
  await planting.restoreTo(scene.target);
  for (const roots of [["/spool", "/spool/a"], ["/spool/a"], ["/spool/a/inner"]]) {
    const claims: Claims = {
      roots: roots.map((path) => ({ kind: "config", name: "", path: fromText(path) })),
      files: [file(`${roots.at(-1)}/bird`)],
    };
    const using = await HostileRepository.make(claims);
    for (const overwrite of ["never", "if-different"] as const)
      await expect(using.restoreTo(scene.target, { overwrite })).rejects.toMatchObject({
        code: "TARGET_REFUSED",
      });
  }
  const asFile = await HostileRepository.make({
    roots: [{ kind: "file", name: "", path: fromText("/spool/a/bird") }],
    files: [file("/spool/a/bird")],
  });
  await expect(asFile.restoreTo(scene.target, { overwrite: "if-different" })).rejects.toMatchObject({
    code: "TARGET_REFUSED",
  });
  scene.expectUntouched();
});

test("a symlink with the name of a file to be written is replaced, not written through", async () => {
  using scene = new Scene();
  mkdirSync(`${scene.target}/spool`);
  symlinkSync(`${scene.canary}/bird`, `${scene.target}/spool/a`);
  symlinkSync(`${scene.canary}/new`, `${scene.target}/spool/.cyrvault-part`);
  symlinkSync(`${scene.canary}/journal`, `${scene.target}/.cyrvault-restore`);
  const hostile = await HostileRepository.make({ files: [SPOOL, file("/spool/a")] });
  await hostile.restoreTo(scene.target, { overwrite: "if-different" });
  expect(readTree(scene.target).get("spool/a")).toMatchObject({ type: "file", sizeBytes: 4 });
  scene.expectUntouched();
});

test("a file that is a root of its own opens its directory to nothing else", async () => {
  using scene = new Scene();
  const hostile = await HostileRepository.make({
    roots: [{ kind: "file", name: "", path: fromText("/etc/imapd.conf") }],
    files: [file("/etc/imapd.conf"), file("/etc/shadow")],
  });
  await expect(hostile.restoreTo(scene.target)).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
  expect(readdirSync(scene.target)).toEqual([]);
});

test("two mailboxes that claim one directory do not overwrite each other", async () => {
  using scene = new Scene();
  const mailbox = (name: string, text: string) => ({
    entry: {
      name: name as ByteString,
      files: [mailboxFile({ content: { form: "inline", bytes: Buffer.from(text) } })],
    },
  });
  const hostile = await HostileRepository.make({ mailboxes: [mailbox("a", "one"), mailbox("b", "two")] });
  await expect(hostile.restoreTo(scene.target)).rejects.toMatchObject({ code: "TARGET_REFUSED" });
  scene.expectUntouched();
});

test("what keeps Cyrus from starting does not come back, though a backup has it", async () => {
  using scene = new Scene();
  const hostile = await HostileRepository.make({
    roots: [{ kind: "config", name: "", path: fromText("/conf") }],
    files: [directory("/conf"), directory("/conf/msg"), file("/conf/msg/shutdown"), file("/conf/msg/motd")],
  });
  const result = await hostile.restoreTo(scene.target);
  expect(result.findings).toMatchObject([{ code: "never-restored", path: "/conf/msg/shutdown" }]);
  expect(readdirSync(`${scene.target}/conf/msg`)).toEqual(["motd"]);
});

test("a mapping cannot lead out of the target", async () => {
  using scene = new Scene();
  const hostile = await HostileRepository.make({ files: [SPOOL, file("/spool/a")] });
  const mappings = [{ from: fromText("/spool"), to: fromText("/x/y") }];
  await hostile.restoreTo(scene.target, { mappings });
  expect(readdirSync(`${scene.target}/x/y`)).toEqual(["a"]);
  scene.expectUntouched();
});

test("a claim of more bytes than there is room for is refused before anything is written", async () => {
  using scene = new Scene();
  const size = 2 ** 52;
  const claims: Claims[] = [
    {
      files: [
        SPOOL,
        { ...file("/spool/a"), content: { form: "objects", size, ids: [new Uint8Array(32) as ObjectId] } },
      ],
    },
    { mailboxes: [{ entry: { messages: 1, bytes: size }, messages: [{}] }] },
  ];
  for (const claim of claims) {
    const hostile = await HostileRepository.make(claim);
    await expect(hostile.restoreTo(scene.target)).rejects.toMatchObject({ code: "NO_SPACE" });
  }
  expect(readdirSync(scene.target)).toEqual([]);
});

test("pages and objects that are not there cost what they name, and nothing else", async () => {
  using scene = new Scene();
  const absent = new Uint8Array(32).fill(9) as ObjectId;
  const hostile = await HostileRepository.make({
    files: [
      SPOOL,
      file("/spool/a"),
      { ...file("/spool/b"), content: { form: "list", size: 9, list: absent } },
    ],
    mailboxes: [
      {
        entry: {
          files: [mailboxFile({})],
          messagePages: { page: absent, height: 8, entries: 2 ** 40 },
        },
      },
      {
        entry: { name: "user.other" as ByteString, directories: [mailboxDirectory("/spool/o")] },
        messages: [{ uid: 5 }],
      },
    ],
  });
  const result = await hostile.restoreTo(scene.target);
  expect(result.incomplete).toBe(true);
  expect(result.findings.map(({ code, severity, path }) => [code, severity, path])).toEqual([
    ["object-damaged", "error", "/spool/b"],
    ["object-damaged", "error", "/spool/e"],
    ["object-damaged", "error", "/spool/o/5."],
  ]);
  expect([...readTree(scene.target).keys()].sort()).toEqual(
    [".", "spool", "spool/a", "spool/e", "spool/e/cyrus.header", "spool/o"].sort(),
  );
});
