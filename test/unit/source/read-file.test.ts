import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import {
  lstatSource,
  readLinkSource,
  readSourceFile,
  SourceFile,
  sameStat,
} from "../../../src/source/read-file.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

let dir: TempDir;
let server: Server;
const at = (...parts: string[]): ByteString => fromText(dir.in(...parts));

beforeAll(async () => {
  dir = tempDir();
  writeFileSync(dir.in("file"), "0123456789");
  mkdirSync(dir.in("directory"));
  symlinkSync("file", dir.in("link"));
  symlinkSync("pipe", dir.in("link-to-pipe"));
  execFileSync("mkfifo", [dir.in("pipe")]);
  server = createServer();
  await new Promise<void>((resolve) => server.listen(dir.in("socket"), resolve));
});

afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  dir.remove();
});

describe("opening a file of the server", () => {
  test.each(["absent", "directory", "link", "link-to-pipe", "pipe", "socket", "file/below"])(
    "neither waits for nor follows: %s counts as no file",
    (name) => {
      expect(SourceFile.open(at(name))).toBeUndefined();
      expect(readSourceFile(at(name), 100)).toBeUndefined();
    },
  );

  test("reads ranges, and less only at the end", () => {
    const file = SourceFile.open(at("file"));
    expect(file?.stat.size).toBe(10);
    expect(file?.read(2, 3).toString()).toBe("234");
    expect(file?.read(8, 10).toString()).toBe("89");
    expect(file?.read(10, 10).length).toBe(0);
    file?.close();
  });

  test("an open file tells that it has grown meanwhile", () => {
    writeFileSync(dir.in("growing"), "a");
    const file = SourceFile.open(at("growing")) as SourceFile;
    expect(sameStat(file.stat, file.statAgain())).toBe(true);
    appendFileSync(dir.in("growing"), "b");
    expect(sameStat(file.stat, file.statAgain())).toBe(false);
    file.close();
  });

  test("a file larger than expected is refused before memory is taken", () => {
    expect(readSourceFile(at("file"), 10)?.bytes.toString()).toBe("0123456789");
    expect(() => readSourceFile(at("file"), 9)).toThrowError(
      expect.objectContaining({ code: "SOURCE_INVALID" }),
    );
  });

  test("a name that is too long is a failure with its cause, not an absence", () => {
    expect(() => SourceFile.open(at("x".repeat(300)))).toThrowError(expect.objectContaining({ code: "IO" }));
  });
});

describe("as a user who may not", () => {
  const script = `
    import { SourceFile, lstatSource } from "./src/source/read-file.ts";
    import { listDirectory } from "./src/source/list-directory.ts";
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    const said = (run) => { try { const r = run(); return r === undefined ? "absent" : "there"; } catch (e) { return e.code + ": " + (e.hint ?? ""); } };
    const [dir] = process.argv.slice(-1);
    console.log(JSON.stringify({
      secret: said(() => SourceFile.open(dir + "/secret")),
      closed: said(() => SourceFile.open(dir + "/closed/file")),
      looked: said(() => lstatSource(dir + "/closed/file")),
      listed: said(() => listDirectory(dir + "/closed", "none")),
      foreign: said(() => SourceFile.open(dir + "/foreign")),
      socket: said(() => SourceFile.open(dir + "/socket")),
      pipe: said(() => SourceFile.open(dir + "/pipe")),
    }));`;

  test("what may not be read is a failure with a hint, never an absence", () => {
    chmodSync(dir.path, 0o755);
    writeFileSync(dir.in("secret"), "x");
    chmodSync(dir.in("secret"), 0o600);
    writeFileSync(dir.in("foreign"), "x");
    chmodSync(dir.in("foreign"), 0o644);
    chmodSync(dir.in("socket"), 0o777);
    chmodSync(dir.in("pipe"), 0o666);
    mkdirSync(dir.in("closed"));
    writeFileSync(dir.in("closed/file"), "x");
    chmodSync(dir.in("closed"), 0o700);
    // Only root can become another user; anybody else already is one who may not.
    const asRoot = process.getuid?.() === 0;
    const output = execFileSync(
      process.execPath,
      [
        "--import",
        "tsx",
        "--input-type=module",
        "-e",
        asRoot ? script : script.replace(/process\.set.*\n/, "\n"),
        dir.path,
      ],
      { cwd: new URL("../../..", import.meta.url).pathname, encoding: "utf8" },
    );
    const said = JSON.parse(output);
    // Reading another's file without touching its access time is for owners: then it is opened plainly.
    expect(said).toMatchObject({ foreign: "there", socket: "absent", pipe: "absent" });
    if (!asRoot) return;
    for (const what of ["secret", "closed", "looked"]) expect(said[what], what).toMatch(/^IO: .*root/);
    expect(said.listed).toMatch(/^IO/);
  });
});

describe("lstatSource()", () => {
  test.each([
    ["file", "file"],
    ["directory", "directory"],
    ["link", "symlink"],
    ["pipe", "special"],
    ["socket", "special"],
    ["absent", undefined],
    ["file/below", undefined],
  ])("says what %s is", (name, type) => {
    expect(lstatSource(at(name))?.type).toBe(type);
  });

  test("every part of a stat that can show a change is compared", () => {
    const stat = lstatSource(at("file"))?.stat;
    if (stat === undefined) throw new Error("no stat");
    expect(sameStat(stat, { ...stat })).toBe(true);
    expect(sameStat(stat, { ...stat, links: stat.links + 1 })).toBe(true);
    for (const key of ["mode", "uid", "gid", "size", "inode"] as const)
      expect(sameStat(stat, { ...stat, [key]: stat[key] + 1 }), key).toBe(false);
    for (const key of ["mtimeNs", "ctimeNs"] as const)
      expect(sameStat(stat, { ...stat, [key]: stat[key] + 1n }), key).toBe(false);
  });
});

test("readLinkSource() gives the target's bytes, and fails for what is no link", () => {
  symlinkSync(Buffer.from([0x2f, 0xff]), dir.in("odd"));
  expect(readLinkSource(at("odd"))).toBe("/\xff");
  expect(() => readLinkSource(at("file"))).toThrowError(expect.objectContaining({ code: "IO" }));
});
