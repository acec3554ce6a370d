import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteString, fromBytes, fromText } from "../../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { causeCode } from "../../../src/base/io-error.ts";
import {
  foldInode,
  listXattrs,
  lstatNs,
  openNoFollow,
  posixCapabilities,
  renameNoReplace,
  setMtimeNs,
  syncFilesystem,
  tryLock,
  unlock,
} from "../../../src/base/posix.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

const bytes = (dir: TempDir, name: string) => fromText(dir.in(name));

test("this machine has everything: otherwise the tests below would test the fallback", () => {
  expect(posixCapabilities()).toEqual({
    nanosecondTimes: true,
    ofdLocks: true,
    xattrs: true,
    renameNoReplace: true,
    reason: undefined,
  });
});

describe("setMtimeNs() and lstatNs()", () => {
  test("set and read every nanosecond of a file's time, and leave its access time alone", () => {
    using dir = tempDir();
    const path = bytes(dir, "a");
    writeFileSync(path, "x");
    const before = lstatSync(path, { bigint: true }).atimeNs;
    // ext4 keeps 34 bits of seconds from 1901 on.
    fc.assert(
      fc.property(fc.bigInt(-2_000_000_000_000_000_000n, 9_000_000_000_000_000_000n), (ns) => {
        setMtimeNs(path, ns);
        expect(lstatNs(path)?.mtimeNs).toBe(ns);
      }),
      { examples: [[0n], [-1n], [1n], [-1_000_000_000n], [1_700_000_000_123_456_789n]] },
    );
    expect(lstatSync(path, { bigint: true }).atimeNs).toBe(before);
  });

  test("take a directory, and a symlink itself instead of its target", () => {
    using dir = tempDir();
    mkdirSync(dir.in("d"));
    writeFileSync(dir.in("target"), "x");
    symlinkSync("target", dir.in("link"));
    symlinkSync("nowhere", dir.in("dangling"));
    const target = lstatNs(bytes(dir, "target"))?.mtimeNs;
    for (const [name, ns] of [
      ["d", 1_234_567_890_987_654_321n],
      ["link", 1_111_111_111_111_111_111n],
      ["dangling", 999_999_999n],
    ] as const) {
      setMtimeNs(bytes(dir, name), ns);
      expect(lstatNs(bytes(dir, name))?.mtimeNs).toBe(ns);
    }
    expect(lstatNs(bytes(dir, "target"))?.mtimeNs).toBe(target);
    expect(readlinkSync(dir.in("link"))).toBe("target");
  });

  test("take names that are not UTF-8", () => {
    using dir = tempDir();
    const path = `${dir.path}/\xe4\xff.` as ByteString;
    writeFileSync(Buffer.from(path, "latin1"), "abc");
    setMtimeNs(path, 5n);
    expect(lstatNs(path)).toMatchObject({ size: 3, mtimeNs: 5n });
  });

  test("say what lstat says", () => {
    using dir = tempDir();
    const path = bytes(dir, "a");
    writeFileSync(path, "12345", { mode: 0o640 });
    linkSync(path, dir.in("b"));
    const stat = lstatSync(path, { bigint: true });
    expect(lstatNs(path)).toEqual({
      mode: Number(stat.mode),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      size: 5,
      mtimeNs: stat.mtimeNs,
      ctimeNs: stat.ctimeNs,
      inode: Number(stat.ino),
      links: 2,
    });
    expect((lstatNs(path)?.mode ?? 0) & 0o777).toBe(0o640);
  });

  test("tell an absent file from one that cannot be looked at", () => {
    using dir = tempDir();
    writeFileSync(dir.in("file"), "");
    expect(lstatNs(bytes(dir, "absent"))).toBeUndefined();
    expect(lstatNs(bytes(dir, "file/below"))).toBeUndefined();
    expect(caught(() => lstatNs(bytes(dir, "n".repeat(300))))).toBe("IO ENAMETOOLONG");
    expect(caught(() => setMtimeNs(bytes(dir, "absent"), 0n))).toBe("IO ENOENT");
    expect(caught(() => setMtimeNs(`${dir.path}/a\0b` as ByteString, 0n))).toBe("IO EINVAL");
  });
});

test("foldInode() is exact up to 2^53 and keeps larger numbers apart", () => {
  expect(foldInode(0n)).toBe(0);
  expect(foldInode(2n ** 53n - 1n)).toBe(2 ** 53 - 1);
  expect(foldInode(2n ** 53n)).not.toBe(foldInode(2n ** 54n));
  // Node hands st_ino over as a signed number.
  expect(foldInode(-1n)).toBe(foldInode(2n ** 64n - 1n));
  expect(Number.isSafeInteger(foldInode(-1n))).toBe(true);
});

describe("openNoFollow()", () => {
  test("opens a file, answers undefined where there is none, refuses a symlink", () => {
    using dir = tempDir();
    writeFileSync(dir.in("a"), "content");
    symlinkSync("a", dir.in("link"));
    const fd = openNoFollow(bytes(dir, "a"), constants.O_RDONLY);
    expect(readFileSync(fd as number, "utf8")).toBe("content");
    closeSync(fd as number);
    expect(openNoFollow(bytes(dir, "absent"), constants.O_RDONLY)).toBeUndefined();
    expect(openNoFollow(bytes(dir, "a/below"), constants.O_RDONLY)).toBeUndefined();
    expect(caught(() => openNoFollow(bytes(dir, "link"), constants.O_RDONLY))).toBe("IO ELOOP");
  });

  test("does not wait for the other end of a pipe", () => {
    using dir = tempDir();
    execFileSync("mkfifo", [dir.in("pipe")]);
    closeSync(openNoFollow(bytes(dir, "pipe"), constants.O_RDONLY) as number);
    expect(caught(() => openNoFollow(bytes(dir, "pipe"), constants.O_WRONLY))).toBe("IO ENXIO");
  });

  test("makes a file with the mode asked for, once, and never through a missing directory", () => {
    using dir = tempDir();
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    closeSync(openNoFollow(bytes(dir, "new"), flags, 0o600) as number);
    expect(statSync(dir.in("new")).mode & 0o777).toBe(0o600);
    expect(caught(() => openNoFollow(bytes(dir, "new"), flags))).toBe("IO EEXIST");
    expect(caught(() => openNoFollow(bytes(dir, "no/new"), flags))).toBe("IO ENOENT");
  });
});

describe("tryLock() and unlock()", () => {
  test("hold against another opening of the same file, until unlocked or closed", () => {
    using dir = tempDir();
    writeFileSync(dir.in("lock"), "");
    const [a, b] = [openSync(dir.in("lock"), "r+"), openSync(dir.in("lock"), "r+")];
    expect(tryLock(a, "write")).toBe(true);
    expect(tryLock(b, "write")).toBe(false);
    expect(tryLock(b, "read")).toBe(false);
    unlock(a);
    expect(tryLock(a, "read")).toBe(true);
    expect(tryLock(b, "read")).toBe(true);
    expect(tryLock(a, "write")).toBe(false);
    closeSync(b);
    expect(tryLock(a, "write")).toBe(true);
    closeSync(a);
  });

  test("respect a classic fcntl lock of another process, as Cyrus takes them", () => {
    using dir = tempDir();
    writeFileSync(dir.in("lock"), "");
    const fd = openSync(dir.in("lock"), "r+");
    const other = `import fcntl, sys
f = open(sys.argv[1], "r+")
try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB); print("got it")
except BlockingIOError: print("busy")`;
    const ask = () => execFileSync("python3", ["-c", other, dir.in("lock")], { encoding: "utf8" }).trim();
    expect(tryLock(fd, "read")).toBe(true);
    expect(ask()).toBe("busy");
    unlock(fd);
    expect(ask()).toBe("got it");
    closeSync(fd);
  });

  test("fail on a descriptor that is not open", () => {
    expect(caught(() => tryLock(9999, "read"))).toBe("IO EBADF");
    expect(caught(() => unlock(9999))).toBe("IO EBADF");
  });
});

test("syncFilesystem() takes any open file and refuses a closed one", () => {
  using dir = tempDir();
  const fd = openSync(dir.path, "r");
  syncFilesystem(fd);
  closeSync(fd);
  expect(caught(() => syncFilesystem(9999))).toBe("IO EBADF");
});

test("renameNoReplace() renames once and replaces nothing", () => {
  using dir = tempDir();
  writeFileSync(dir.in("a"), "a");
  writeFileSync(dir.in("b"), "b");
  expect(renameNoReplace(bytes(dir, "a"), bytes(dir, "b"))).toBe("exists");
  expect(readFileSync(dir.in("b"), "utf8")).toBe("b");
  expect(renameNoReplace(bytes(dir, "a"), bytes(dir, "c"))).toBe("renamed");
  expect(readFileSync(dir.in("c"), "utf8")).toBe("a");
  expect(existsSync(dir.in("a"))).toBe(false);
  expect(caught(() => renameNoReplace(bytes(dir, "a"), bytes(dir, "d")))).toBe("IO ENOENT");
});

test("listXattrs() names attributes, and answers nothing for a file without or a file that has gone", () => {
  using dir = tempDir();
  writeFileSync(dir.in("a"), "");
  expect(listXattrs(bytes(dir, "a"))).toEqual([]);
  expect(listXattrs(bytes(dir, "absent"))).toEqual([]);
  expect(caught(() => listXattrs(bytes(dir, "n".repeat(300))))).toBe("IO ENAMETOOLONG");
  execFileSync("python3", [
    "-c",
    "import os,sys\nfor n in (b'user.one', b'user.t\\xe4'): os.setxattr(sys.argv[1], n, b'v')",
    dir.in("a"),
  ]);
  expect(listXattrs(bytes(dir, "a"))?.toSorted()).toEqual([
    "user.one",
    fromBytes(Buffer.from("user.t\xe4", "latin1")),
  ]);
});

test("works in several worker threads at once", async () => {
  using dir = tempDir();
  const source = new URL("../../../src/base/", import.meta.url).href;
  const body = `
    const { workerData, parentPort } = require("node:worker_threads");
    import("tsx/esm/api").then(async ({ tsImport }) => {
      const posix = await tsImport(workerData.source + "posix.ts", workerData.source);
      const owners = await tsImport(workerData.source + "posix-owners.ts", workerData.source);
      require("node:fs").writeFileSync(workerData.path, "x");
      let good = owners.userName(0) === "root";
      for (let i = 1; i <= 2000; i++) {
        posix.setMtimeNs(workerData.path, BigInt(i) * 1000000007n);
        if (posix.lstatNs(workerData.path).mtimeNs !== BigInt(i) * 1000000007n) good = false;
      }
      parentPort.postMessage(good);
    });`;
  const answers = [1, 2].map(async (n) => {
    const worker = new Worker(body, { eval: true, workerData: { source, path: dir.in(`f${n}`) } });
    return await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  });
  expect(await Promise.all(answers)).toEqual([true, true]);
});

/** `code systemCode` of what is thrown. */
function caught(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (isCyrvaultError(error)) return `${error.code} ${causeCode(error)}`;
    throw error;
  }
  return "nothing";
}
