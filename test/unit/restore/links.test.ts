import { cpSync, linkSync, lstatSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { setMtimeNs } from "../../../src/base/posix.ts";
import type { MessageEntry } from "../../../src/manifest/model.ts";
import { LinkTable } from "../../../src/restore/link-table.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { backUp, makeServer, messageFiles, restoreTo } from "./restore-fixture.ts";

const PLACE = "/spool/a" as ByteString;

function message(fields: Partial<MessageEntry>): MessageEntry {
  const object = new Uint8Array(32).fill(1) as ObjectId;
  return {
    uid: 1,
    object,
    directory: 0,
    mode: 0o100600,
    uidOwner: 0,
    gidOwner: 0,
    mtimeNs: 1n,
    inode: 7,
    linked: true,
    ...fields,
  };
}

function other(byte: number): ObjectId {
  return new Uint8Array(32).fill(byte) as ObjectId;
}

test("messages that were one file in several mailboxes are one file again", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  const files = messageFiles(server);
  const [first = ""] = files;
  const elsewhere = files.find((path) => join(path, "..") !== join(first, "..")) ?? "";
  linkSync(first, join(elsewhere, "../800."));
  linkSync(first, join(elsewhere, "../801."));
  const stored = await backUp(server);

  await restoreTo(dir.in("target"), stored);

  const at = (path: string) => lstatSync(join(dir.in("target"), path));
  expect(at(first).nlink).toBe(3);
  expect(at(join(elsewhere, "../800.")).ino).toBe(at(first).ino);
  expect(at(join(elsewhere, "../801.")).ino).toBe(at(first).ino);
  expect(at(elsewhere).nlink).toBe(1);
});

test("a copy made after its original was backed up is a link, though the original's mailbox was not read again", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  const files = messageFiles(server);
  const [first = ""] = files;
  const elsewhere = files.find((path) => join(path, "..") !== join(first, "..")) ?? "";
  const { files: repository } = await backUp(server);
  linkSync(first, join(elsewhere, "../800."));
  const stored = await backUp(server, repository);

  await restoreTo(dir.in("target"), stored);

  const at = (path: string) => lstatSync(join(dir.in("target"), path));
  expect(at(join(elsewhere, "../800.")).ino).toBe(at(first).ino);
});

test("two other files with one inode number, in two filesystems, stay two files", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  for (const [name, text] of [
    ["conf/one", "one"],
    ["sieve/one", "other"],
  ]) {
    mkdirSync(join(server, `${name}.d`));
    cpSync(join(server, "etc/imapd.conf"), join(server, `${name}.d/a`));
    linkSync(join(server, `${name}.d/a`), join(server, `${name}.d/${text}`));
  }
  const stored = await backUp(server);
  await restoreTo(dir.in("target"), stored);
  const inode = (path: string) => lstatSync(join(dir.in("target"), server, path)).ino;
  expect(inode("conf/one.d/a")).toBe(inode("conf/one.d/one"));
  expect(inode("sieve/one.d/a")).toBe(inode("sieve/one.d/other"));
  expect(inode("sieve/one.d/a")).not.toBe(inode("conf/one.d/a"));
});

test("an inode number means one file within one filesystem only", () => {
  const links = new LinkTable();
  links.note("data\0default", message({}));
  links.note("data\0second", message({}));
  links.written("data\0default", message({}), PLACE);
  expect(links.find("data\0default", message({ uid: 9 }))).toBe("/spool/a/1.");
  expect(links.find("data\0second", message({ uid: 9 }))).toBeUndefined();
});

test("other content, mode or time under a known inode number is another file", () => {
  const links = new LinkTable();
  links.note("fs", message({}));
  links.written("fs", message({}), PLACE);
  expect(links.find("fs", message({ object: other(2) }))).toBeUndefined();
  expect(links.find("fs", message({ mode: 0o100640 }))).toBeUndefined();
  expect(links.find("fs", message({ mtimeNs: 2n }))).toBeUndefined();
  expect(links.find("fs", message({ inode: 8 }))).toBeUndefined();
  expect(links.find("fs", message({ linked: false }))).toBe("/spool/a/1.");
});

test("a good copy is never a link to the damaged one", () => {
  const links = new LinkTable();
  links.note("fs", message({}));
  links.written("fs", message({}), PLACE);
  expect(links.find("fs", message({ good: other(3) }))).toBeUndefined();
  const better = new LinkTable();
  better.note("fs", message({ good: other(3) }));
  better.written("fs", message({ good: other(3) }), PLACE);
  expect(better.find("fs", message({ good: other(3) }))).toBe("/spool/a/1.");
});

test("an inode number that nothing said to be linked, or that is not known, links nothing", () => {
  const links = new LinkTable();
  links.note("fs", message({ linked: false }));
  links.note("fs", message({ inode: 0 }));
  links.written("fs", message({}), PLACE);
  links.written("fs", message({ inode: 0 }), PLACE);
  expect(links.find("fs", message({}))).toBeUndefined();
  expect(links.find("fs", message({ inode: 0 }))).toBeUndefined();
});

test("a full table goes on with those it has", () => {
  const links = new LinkTable(2);
  for (const inode of [1, 2, 2, 1]) links.note("fs", message({ inode }));
  expect(links.full).toBe(false);
  links.note("fs", message({ inode: 3 }));
  expect(links.full).toBe(true);
  for (const inode of [1, 2, 3]) links.written("fs", message({ inode, uid: inode }), PLACE);
  expect([1, 2, 3].map((inode) => links.find("fs", message({ inode })))).toEqual([
    "/spool/a/1.",
    "/spool/a/2.",
    undefined,
  ]);
});

test("what a filesystem of its own keeps from being linked is a file of its own, and a note", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server, { users: 1 });
  const files = messageFiles(server);
  const [first = ""] = files;
  const elsewhere = files.find((path) => join(path, "..") !== join(first, "..")) ?? "";
  linkSync(first, join(elsewhere, "../800."));
  setMtimeNs(fromText(first), 77n);
  const stored = await backUp(server);

  const links = { has: () => true, find: () => "/proc/version" as ByteString };
  const result = await restoreTo(dir.in("target"), stored, {}, {}, undefined, (prepared) => ({
    ...prepared,
    links: Object.assign(new LinkTable(), links),
  }));

  expect(new Set(result.findings.map(({ code, severity }) => `${code} ${severity}`))).toEqual(
    new Set(["not-linked note"]),
  );
  const copy = join(dir.in("target"), elsewhere, "../800.");
  expect(readFileSync(copy)).toEqual(readFileSync(first));
  expect(lstatSync(copy).nlink).toBe(1);
});
