import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { listDirectory, uidOfFileName } from "../../../src/source/list-directory.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

let dir: TempDir;

beforeAll(async () => {
  dir = tempDir();
  mkdirSync(dir.in("box"));
  const file = (name: string | Buffer) =>
    writeFileSync(
      Buffer.concat([Buffer.from(`${dir.in("box")}/`), Buffer.isBuffer(name) ? name : Buffer.from(name)]),
      "",
    );
  for (const uid of [10, 9, 1, 200, 4_294_967_295]) file(`${uid}.`);
  for (const name of ["cyrus.index", "cyrus.header", "0.", "01.", "4294967296.", "7", "7.NEW", "1.2."])
    file(name);
  file(Buffer.from([0x66, 0xfc, 0x72]));
  mkdirSync(dir.in("box", "Sub"));
  mkdirSync(dir.in("box", "5."));
  symlinkSync("nowhere", dir.in("box", "6."));
  execFileSync("mkfifo", [dir.in("box", "pipe")]);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(dir.in("box", "socket"), resolve));
  // The name goes with the listener: it is kept open until the process ends.
  server.unref();
});

afterAll(() => dir.remove());

describe.each([
  ["at once", 4096],
  ["one by one", undefined],
])("listDirectory(), %s", (_, bytes) => {
  test("collects UIDs in ascending order, as numbers and not as text", () => {
    const listing = listDirectory(fromText(dir.in("box")), "collect", bytes);
    expect([...(listing?.uids ?? [])]).toEqual([1, 9, 10, 200, 4_294_967_295]);
    expect(listing?.messageCount).toBe(5);
  });

  test("takes what only looks like a message file for a file, each name byte for byte", () => {
    const listing = listDirectory(fromText(dir.in("box")), "collect", bytes);
    expect(listing?.files).toEqual([
      "0.",
      "01.",
      "1.2.",
      "4294967296.",
      "7",
      "7.NEW",
      "cyrus.header",
      "cyrus.index",
      "f\xfcr",
    ]);
  });

  test("tells directories, links, pipes and sockets apart, whatever they are called", () => {
    const listing = listDirectory(fromText(dir.in("box")), "collect", bytes);
    expect(listing?.directories).toEqual(["5.", "Sub"]);
    expect(listing?.symlinks).toEqual(["6."]);
    expect(listing?.specials).toEqual(["pipe", "socket"]);
  });

  test("only counts messages when told so, and knows none where nothing is a message", () => {
    const counted = listDirectory(fromText(dir.in("box")), "count", bytes);
    expect([counted?.messageCount, counted?.uids.length, counted?.files.length]).toEqual([5, 0, 9]);
    const none = listDirectory(fromText(dir.in("box")), "none", bytes);
    expect([none?.messageCount, none?.files.length]).toEqual([0, 14]);
  });

  test("finds what lies in a directory whose name is not UTF-8", () => {
    const path = Buffer.concat([Buffer.from(`${dir.path}/`), Buffer.from([0xe9])]);
    mkdirSync(path, { recursive: true });
    writeFileSync(Buffer.concat([path, Buffer.from("/3.")]), "");
    const listing = listDirectory(`${dir.path}/\xe9` as ReturnType<typeof fromText>, "collect", bytes);
    expect([...(listing?.uids ?? [])]).toEqual([3]);
  });

  test("keeps every UID of a directory with many", () => {
    mkdirSync(dir.in("many"), { recursive: true });
    for (let uid = 1; uid <= 1500; uid++) writeFileSync(dir.in("many", `${uid}.`), "");
    const uids = listDirectory(fromText(dir.in("many")), "collect", bytes)?.uids;
    expect([...(uids ?? [])]).toEqual(Array.from({ length: 1500 }, (_, i) => i + 1));
  });

  test("answers nothing for what is absent or no directory", () => {
    expect(listDirectory(fromText(dir.in("absent")), "collect", bytes)).toBeUndefined();
    expect(listDirectory(fromText(dir.in("box", "cyrus.index")), "collect", bytes)).toBeUndefined();
  });
});

test("uidOfFileName() takes exactly what Cyrus writes", () => {
  expect(uidOfFileName("1.")).toBe(1);
  expect(uidOfFileName("4294967295.")).toBe(4_294_967_295);
  for (const name of ["", ".", "0.", "00.", "01.", "4294967296.", "99999999999.", "1", "1.x", " 1.", "1.\n"])
    expect(uidOfFileName(name), JSON.stringify(name)).toBeUndefined();
});
