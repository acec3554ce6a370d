import { describe, expect, test } from "vitest";
import { type MailboxNow, whyChanged } from "../../../src/backup/unchanged.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import type { FileStat, MailboxEntry, MailboxFile } from "../../../src/manifest/model.ts";
import { EMPTY_TREE } from "../../../src/manifest/page-tree.ts";

const stat = (change: Partial<FileStat> = {}): FileStat => ({
  mode: 0o100600,
  uid: 8,
  gid: 8,
  size: 100,
  mtimeNs: 1_000n,
  ctimeNs: 1_000n,
  inode: 77,
  links: 1,
  ...change,
});

const file = (name: string, change: Partial<MailboxFile> = {}): MailboxFile => ({
  directory: 0,
  name: fromText(name),
  stat: stat(),
  fileClass: "critical",
  racy: false,
  ...change,
});

const BEFORE: MailboxEntry = {
  name: fromText("user.anna"),
  uniqueid: fromText("abcd"),
  partition: fromText("default"),
  mailboxType: fromText("e"),
  acl: fromText(""),
  quotaRoot: undefined,
  listed: true,
  uidvalidity: 5,
  lastUid: 1,
  highestModseq: 1n,
  generation: 1,
  indexVersion: 17,
  messages: 1,
  bytes: 10,
  directories: [
    { role: "data", path: fromText("/d"), stat: stat() },
    { role: "meta", path: fromText("/m"), stat: stat() },
  ],
  files: [file("cyrus.header"), file("cyrus.index")],
  messagePages: EMPTY_TREE,
  openFindings: 0,
  racy: false,
  rules: 1,
};

const NOW: MailboxNow = {
  uniqueid: fromText("abcd"),
  uidvalidity: 5,
  rules: 1,
  scrub: false,
  directories: [
    { path: fromText("/d"), stat: stat() },
    { path: fromText("/m"), stat: stat() },
  ],
  files: [stat(), stat()],
};

const before = (change: Partial<MailboxEntry>): MailboxEntry => ({ ...BEFORE, ...change });
const now = (change: Partial<MailboxNow>): MailboxNow => ({ ...NOW, ...change });

/** In these parts of a stat a change can show. */
const CHANGES: readonly (readonly [string, Partial<FileStat>])[] = [
  ["size", { size: 101 }],
  ["mtime", { mtimeNs: 1_001n }],
  ["ctime", { ctimeNs: 1_001n }],
  ["inode", { inode: 78 }],
  ["mode", { mode: 0o100640 }],
  ["owner", { uid: 9 }],
];

describe("a mailbox is taken over unread when", () => {
  test("everything is as it was", () => {
    expect(whyChanged(BEFORE, NOW)).toBeUndefined();
  });

  test("the list says nothing of uniqueid and uidvalidity, and the rest is as it was", () => {
    expect(whyChanged(BEFORE, now({ uniqueid: undefined, uidvalidity: undefined }))).toBeUndefined();
  });

  test("only a file that is left out has changed, or is gone", () => {
    const entry = before({ files: [...BEFORE.files, file("cyrus.squat", { leftOut: "search index" })] });
    expect(whyChanged(entry, now({ files: [stat(), stat(), undefined] }))).toBeUndefined();
    expect(whyChanged(entry, now({ files: [stat(), stat(), stat({ size: 1 })] }))).toBeUndefined();
  });

  test("a file has got another hard link", () => {
    expect(whyChanged(BEFORE, now({ files: [stat({ links: 2 }), stat()] }))).toBeUndefined();
  });
});

describe("a mailbox is read when", () => {
  test.each([
    ["it has another uniqueid", {}, { uniqueid: fromText("other") }],
    ["it had no uniqueid and has one", { uniqueid: undefined }, {}],
    ["it has another uidvalidity", {}, { uidvalidity: 6 }],
    ["the rules of selection are others", {}, { rules: 2 }],
    ["it has an open finding", { openFindings: 1 }, {}],
    ["it changed just before the last cut", { racy: true }, {}],
    ["a reading of everything was asked for", {}, { scrub: true }],
    ["a directory is gone", {}, { directories: NOW.directories.slice(0, 1) }],
    [
      "a directory has come",
      {},
      { directories: [...NOW.directories, { path: fromText("/a"), stat: stat() }] },
    ],
    [
      "a directory lies elsewhere",
      {},
      { directories: [{ path: fromText("/e"), stat: stat() }, ...NOW.directories.slice(1)] },
    ],
    ["a file is gone", {}, { files: [stat(), undefined] }],
    ["a file changed just before the last cut", { files: [file("cyrus.header", { racy: true })] }, {}],
  ] as const)("%s", (_, entry: Partial<MailboxEntry>, today: Partial<MailboxNow>) => {
    expect(whyChanged(before(entry), now(today))).toEqual(expect.any(String));
  });

  for (const [what, change] of CHANGES) {
    test(`${what} of its data directory, its other directory, cyrus.header or cyrus.index is another`, () => {
      const [first, second] = NOW.directories;
      if (first === undefined || second === undefined) throw new Error("no directories");
      for (const today of [
        now({ directories: [{ ...first, stat: stat(change) }, second] }),
        now({ directories: [first, { ...second, stat: stat(change) }] }),
        now({ files: [stat(change), stat()] }),
        now({ files: [stat(), stat(change)] }),
      ]) {
        expect(whyChanged(BEFORE, today)).toEqual(expect.any(String));
      }
    });
  }
});
