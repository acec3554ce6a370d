/**
 * Repositories made by somebody who has the key and wants something else than mail to come back. Whatever they hold, no
 * command writes outside of where it should, takes memory without bounds, or ends in anything but an answer, a finding
 * or a CyrvaultError. Single paths and names: test/unit/restore/hostile.test.ts.
 */
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { afterAll, expect, test } from "vitest";
import type { ByteString } from "../../src/base/byte-string.ts";
import { encodePieceList } from "../../src/chunker/piece-list.ts";
import { filePages } from "../../src/manifest/file-page.ts";
import { encodeInnerPage } from "../../src/manifest/inner-page.ts";
import { mailboxPages } from "../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../src/manifest/message-page.ts";
import type { FileEntry, MailboxFile } from "../../src/manifest/model.ts";
import { asObjectId, type ObjectId } from "../../src/store/object.ts";
import { BLOCK_BYTES_MAX } from "../../src/store/pack-types.ts";
import {
  dataObject,
  emptyFiles,
  HostileSite,
  messageObject,
  plant,
  withRoot,
} from "../support/hostile-site.ts";
import {
  type Claims,
  directory,
  file,
  HostileRepository,
  mailboxDirectory,
  mailboxEntry,
  stat,
  symlink,
} from "../unit/restore/hostile-fixture.ts";

const MEMORY_MAX = 256 * 1024 * 1024;
const SPOOL = directory("/spool");
const ESCAPE = "\x1b]0;owned\x07\x1b[31m\x9b2J";
const SOUND = messageObject("Subject: sound\r\n\r\nhello\r\n");
const ABSENT = asObjectId(new Uint8Array(32).fill(9));

interface Case {
  readonly what: string;
  make(site: HostileSite): Promise<HostileRepository>;
  /** Below the target, as far as it should be there. */
  readonly comesBack?: readonly string[];
  /** What the restore says. */
  readonly says?: RegExp;
}

const linked = (entry: FileEntry, inode = 7): FileEntry => ({
  ...entry,
  stat: { ...entry.stat, links: 9, inode },
});

/** A mailbox with these messages, and one beside it that is sound. */
function mailboxes(objects: readonly ObjectId[], name = "user.evil"): NonNullable<Claims["mailboxes"]> {
  return [
    { entry: { name: name as ByteString }, messages: objects.map((object, i) => ({ uid: i + 1, object })) },
    {
      entry: { name: "user.good" as ByteString, directories: [mailboxDirectory("/spool/good")] },
      messages: [{ uid: 1, object: SOUND.id }],
    },
  ];
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

const GOOD = "spool/good/1.";

const CASES: readonly Case[] = [
  {
    what: "a block of zeros that a thousandth of its size unpacks to, as parts of a message that says so",
    make: async () => {
      const files = await emptyFiles();
      const part = dataObject(new Uint8Array(BLOCK_BYTES_MAX));
      const references = Array.from({ length: 4 }, () => part.id);
      const head = encodePieceList(4 * BLOCK_BYTES_MAX, [
        { sourceBytes: 4 * BLOCK_BYTES_MAX, references: 4, wrapping: undefined },
      ]);
      const bomb = messageObject("bomb", { head, references });
      plant(files, [part, bomb, SOUND]);
      return await HostileRepository.make({ mailboxes: mailboxes([bomb.id]) }, files);
    },
    comesBack: [GOOD],
  },
  {
    what: "a piece list that declares terabytes",
    make: async () => {
      const files = await emptyFiles();
      const part = dataObject(new Uint8Array(100));
      const bytes = 2 ** 42;
      const heads = [
        encodePieceList(bytes, [{ sourceBytes: bytes, references: 1, wrapping: undefined }]),
        encodePieceList(bytes, []),
        encodePieceList(2 ** 52, [
          { sourceBytes: 2 ** 50, references: 1, wrapping: { lineChars: 1, lineEnd: "crlf" } },
        ]),
      ];
      const liars = heads.map((head, i) => messageObject(`liar ${i}`, { head, references: [part.id] }));
      plant(files, [part, ...liars, SOUND]);
      return await HostileRepository.make({ mailboxes: mailboxes(liars.map(({ id }) => id)) }, files);
    },
    comesBack: [GOOD],
    says: /came back|could not|damaged|not in/i,
  },
  {
    what: "a message that refers to itself, and two that refer to each other",
    make: async () => {
      const files = await emptyFiles();
      const head = encodePieceList(10, [{ sourceBytes: 10, references: 1, wrapping: undefined }]);
      const ids = [1, 2, 3].map((byte) => asObjectId(new Uint8Array(32).fill(byte)));
      const [own, left, right] = ids as [ObjectId, ObjectId, ObjectId];
      const referring = (id: ObjectId, to: ObjectId) => messageObject("x", { id, head, references: [to] });
      // In packs of their own: within one, a reference to a message is refused when it is written.
      for (const object of [referring(own, own), referring(left, right), referring(right, left)])
        try {
          plant(files, [object]);
        } catch {
          plant(files, [{ ...object, references: [ABSENT] }]);
        }
      plant(files, [SOUND]);
      return await HostileRepository.make({ mailboxes: mailboxes(ids) }, files);
    },
    comesBack: [GOOD],
  },
  {
    what: "objects under each other's ids",
    make: async () => {
      const files = await emptyFiles();
      const [a, b] = [messageObject("Subject: a\r\n\r\n"), messageObject("Subject: b\r\n\r\n")];
      plant(files, [{ ...a, id: b.id }, { ...b, id: a.id }, SOUND]);
      const page = Buffer.from("no page");
      plant(
        files,
        [{ kind: "manifest", id: ABSENT, head: page, tail: new Uint8Array(), references: [] }],
        "meta",
      );
      return await HostileRepository.make(
        {
          mailboxes: [
            ...mailboxes([a.id, b.id]),
            {
              entry: {
                name: "user.pages" as ByteString,
                messagePages: { page: ABSENT, height: 3, entries: 2 ** 40 },
              },
            },
          ],
        },
        files,
      );
    },
    comesBack: [GOOD],
  },
  {
    what: "an inner page of 150,000 pages that are all the same one",
    make: async () => {
      const files = await emptyFiles();
      plant(files, [SOUND]);
      return await withRoot(
        { mailboxes: mailboxes([SOUND.id]), files: [SPOOL, file("/spool/f")] },
        files,
        async (run) => {
          const children = Array.from({ length: 150_000 }, (_, i) => ({
            firstKey: i + 1,
            page: ABSENT,
            entries: 1,
          }));
          const page = await run.writer.put("manifest", encodeInnerPage(messagePages, 1, children));
          const leaf = await run.writer.put(
            "manifest",
            mailboxPages.encode([{ ...mailboxEntry(), messagePages: { page, height: 1, entries: 150_000 } }]),
          );
          return { mailboxes: { page: leaf, height: 0, entries: 1 } };
        },
      );
    },
    comesBack: ["spool/f"],
  },
  {
    what: "trees that are deeper than any, or shallower than they say, or of another kind",
    make: async () => {
      const files = await emptyFiles();
      plant(files, [SOUND]);
      return await withRoot(
        { mailboxes: mailboxes([SOUND.id]), files: [SPOOL, file("/spool/f")] },
        files,
        async (run, root) => {
          let page = root.files.page as ObjectId;
          for (let level = 1; level <= 8; level++)
            page = await run.writer.put(
              "manifest",
              encodeInnerPage(filePages, level, [
                { firstKey: "\0spool" as ByteString, page, entries: root.files.entries },
              ]),
            );
          return {
            files: { page, height: 8, entries: root.files.entries },
            findings: { page, height: 8, entries: 5 },
            mailboxes: { page: root.files.page as ObjectId, height: 0, entries: 1 },
          };
        },
      );
    },
    comesBack: ["spool/f"],
  },
  {
    what: "counts that lie: a thousand million mailboxes and messages, sizes beyond all disks",
    make: async () => {
      const files = await emptyFiles();
      plant(files, [SOUND]);
      const many = Number.MAX_SAFE_INTEGER;
      return await withRoot({ mailboxes: mailboxes([SOUND.id]) }, files, async (_, { counts, bytes }) => ({
        counts: {
          ...counts,
          mailboxes: 1e9,
          messages: many,
          files: many,
          findings: { ...counts.findings, error: many },
        },
        bytes: { ...bytes, source: many, read: many },
        startedMs: many,
        completedMs: 0,
        cutMs: many,
        users: Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [String(i), "root"])),
      }));
    },
    comesBack: [GOOD],
  },
  {
    what: "hard links to what lies elsewhere, and groups of files that are none",
    make: async (site) => {
      const files = await emptyFiles();
      plant(files, [SOUND]);
      return await HostileRepository.make(
        {
          files: [
            SPOOL,
            linked(symlink("/spool/a", `${site.canary}/bird`)),
            linked(file("/spool/b", "sings")),
            linked(file("/spool/c", "sings")),
            linked(file("/spool/d", "other")),
            linked(directory("/spool/dir")),
          ],
          mailboxes: [
            { entry: {}, messages: [{ uid: 1, object: SOUND.id, linked: true, inode: 7 }] },
            {
              entry: { name: "user.other" as ByteString, directories: [mailboxDirectory("/spool/o")] },
              messages: [1, 2].map((uid) => ({
                uid,
                object: SOUND.id,
                linked: true,
                inode: 7,
                mode: 0o104777,
              })),
            },
          ],
        },
        files,
      );
    },
    comesBack: ["spool/b", "spool/c", "spool/d", "spool/e/1.", "spool/o/2."],
  },
  {
    what: "two files at one path: a message that a file stands for, a symlink where a mailbox lies",
    make: async (site) => {
      const files = await emptyFiles();
      plant(files, [SOUND]);
      const claims: Claims = {
        files: [
          SPOOL,
          file("/spool/e", "no directory"),
          symlink("/spool/good", site.canary),
          file("/spool/x"),
        ],
        mailboxes: mailboxes([SOUND.id]),
      };
      return await HostileRepository.make(claims, files);
    },
    says: /directory must be there|symbolic link/,
  },
  {
    what: "two files of one name in a mailbox, a symlink among them, and a message of that name",
    make: async (site) => {
      const files = await emptyFiles();
      plant(files, [SOUND]);
      const target = `${site.canary}/bird` as ByteString;
      const { content: _, ...bare } = mailboxFile({ name: "1." as ByteString, stat: stat(0o120777) });
      const entry = { files: [{ ...bare, target }, mailboxFile({ name: "1." as ByteString })] };
      return await HostileRepository.make(
        { mailboxes: [{ entry, messages: [{ uid: 1, object: SOUND.id }] }] },
        files,
      );
    },
    says: /is there already|symbolic link|compare/,
  },
  {
    what: "attributes that no file has",
    make: async () => {
      const files = await emptyFiles();
      plant(files, [SOUND]);
      const strange = {
        mode: 0xffff_ffff,
        uid: 0xffff_ffff,
        gid: 0xffff_fffe,
        inode: 2 ** 52,
        links: 2 ** 52,
      };
      const at = (path: string, mtimeNs: bigint): FileEntry => ({
        ...file(path),
        stat: { ...stat(0o100644), size: 2 ** 52, mtimeNs },
      });
      return await HostileRepository.make(
        {
          files: [
            SPOOL,
            { ...file("/spool/a"), stat: { ...stat(0), ...strange } },
            at("/spool/b", 2n ** 62n),
            at("/spool/c", -(2n ** 62n)),
            at("/spool/d", (2n ** 63n - 1n) * 1_000_000_000n + 999_999_999n),
          ],
          mailboxes: [
            {
              entry: { uidvalidity: 2 ** 52, highestModseq: 2n ** 64n - 1n, indexVersion: 2 ** 52 },
              messages: [
                {
                  uid: 0xffff_ffff,
                  object: SOUND.id,
                  mode: 0xffff_ffff,
                  mtimeNs: 2n ** 63n * 1_000_000_000n - 1n,
                },
              ],
            },
          ],
        },
        files,
      );
    },
  },
  {
    what: "names that steer a terminal",
    make: async () => {
      const files = await emptyFiles();
      const subject = messageObject(`Subject: ${ESCAPE}\r\nFrom: =?utf-8?q?=1b[2J?=\r\n\r\nx`);
      plant(files, [subject, SOUND]);
      const evil = file(`/spool/${ESCAPE}`);
      return await withRoot(
        { mailboxes: mailboxes([subject.id], `user.${ESCAPE}`), files: [SPOOL, evil, file("/spool/f")] },
        files,
        async () => ({
          server: `mail${ESCAPE}`,
          host: ESCAPE,
          cyrus: { version: ESCAPE, layout: { [ESCAPE]: ESCAPE } },
          view: { kind: ESCAPE, consistency: ESCAPE },
          leftOut: [{ path: ESCAPE, reason: ESCAPE, files: 1, bytes: 1 }],
        }),
      );
    },
    comesBack: ["spool/f", GOOD],
  },
];

let commands = 0;

afterAll(() => {
  console.log(`${CASES.length} hostile repositories, ${commands} commands`);
});

/** No bug, no escape that reaches a terminal. */
async function tame(site: HostileSite, ...argv: readonly string[]) {
  const before = process.memoryUsage().arrayBuffers;
  const ran = await site.command(...argv);
  commands++;
  const said = `${argv.join(" ")}: ${ran.code}\n${ran.stderr}`;
  expect(said).not.toMatch(/bug in cyrvault|TypeError|RangeError/);
  expect([0, 1, 2, 3], said).toContain(ran.code);
  if (argv[0] !== "cat") expect(ran.stdout, said).not.toMatch(/[\x1b\x9b\x07]/);
  expect(ran.stderr).not.toMatch(/[\x1b\x9b\x07]/);
  expect(process.memoryUsage().arrayBuffers - before, said).toBeLessThan(MEMORY_MAX);
  expect(site.touched(), said).toEqual([]);
  return ran;
}

test.each(CASES)("$what", async ({ make, comesBack = [], says }) => {
  using site = new HostileSite();
  site.put(await make(site));
  const listed = await site.command("list", "--json");
  const backups = listed.stdout.split("\n").flatMap((line) => /"backup":"([^"]+)"/.exec(line)?.[1] ?? []);
  const backup = backups.at(-1) ?? "latest";
  await tame(site, "list");
  await tame(site, "ls", backup);
  for (const name of ["user.evil", "user.good", "user.*"]) await tame(site, "ls", backup, name);
  await tame(site, "cat", backup, "user.evil", "1");
  await tame(site, "diff", backups[0] ?? backup, backup);
  await tame(site, "diff", backups[0] ?? backup, backup, "user.evil");
  await tame(site, "stats");
  await tame(site, "stats", backup);
  await tame(site, "findings", backup);
  await tame(site, "check");
  await tame(site, "check", "--read-data");
  const restored = await tame(site, "restore", backup, "--target", site.target);
  if (says !== undefined) expect(restored.stderr + restored.stdout).toMatch(says);
  for (const path of comesBack) expect(lstatSync(`${site.target}/${path}`).isFile(), path).toBe(true);
  await tame(site, "restore", backup, "--target", site.target, "--overwrite", "if-different");
  await tame(site, "restore", backup, "--target", site.target, "--overwrite", "never");
});

/** What somebody else who may write in the target has put there. */
async function planted(site: HostileSite): Promise<void> {
  const files = await emptyFiles();
  plant(files, [SOUND]);
  const claims: Claims = {
    files: [SPOOL, file("/spool/same", "sings"), file("/spool/other", "other"), file("/spool/through", "x")],
    mailboxes: [{ entry: {}, messages: [{ uid: 1, object: SOUND.id, mode: 0o100666 }] }],
  };
  site.put(await HostileRepository.make(claims, files));
  mkdirSync(`${site.target}/spool/e`, { recursive: true });
  writeFileSync(`${site.canary}/message`, "Subject: sound\r\n\r\nhello\r\n", { mode: 0o600 });
  utimesSync(`${site.canary}/message`, 5, 5);
  site.remember();
}

test("a file in the target that is a hard link to one outside keeps its content, mode and times there", async () => {
  using site = new HostileSite();
  await planted(site);
  linkSync(`${site.canary}/bird`, `${site.target}/spool/same`);
  linkSync(`${site.canary}/bird`, `${site.target}/spool/other`);
  linkSync(`${site.canary}/message`, `${site.target}/spool/e/1.`);
  const before = ["bird", "message"].map((name) => outside(site, name));
  await tame(site, "restore", "latest", "--target", site.target, "--overwrite", "never");
  expect(["bird", "message"].map((name) => outside(site, name))).toEqual(before);
  const { code, stderr } = await tame(
    site,
    "restore",
    "latest",
    "--target",
    site.target,
    "--overwrite",
    "if-different",
  );
  expect([0, 3], stderr).toContain(code);
  expect(["bird", "message"].map((name) => outside(site, name))).toEqual(before);
  expect(readFileSync(`${site.target}/spool/other`, "utf8")).toBe("other");
  expect(lstatSync(`${site.target}/spool/same`)).toMatchObject({ nlink: 1 });
  expect(lstatSync(`${site.target}/spool/e/1.`)).toMatchObject({ nlink: 1, mode: 0o100666 });
});

test("symlinks in the target, to files and for directories, are replaced or refused, never gone through", async () => {
  using site = new HostileSite();
  await planted(site);
  symlinkSync(`${site.canary}/new`, `${site.target}/spool/through`);
  symlinkSync(`${site.canary}/message`, `${site.target}/spool/e/1.`);
  await tame(site, "restore", "latest", "--target", site.target, "--overwrite", "if-different");
  expect(lstatSync(`${site.target}/spool/through`).isFile()).toBe(true);
  expect(lstatSync(`${site.target}/spool/e/1.`).isFile()).toBe(true);

  using other = new HostileSite();
  await planted(other);
  const target = `${other.target}/inner`;
  mkdirSync(`${target}/spool`, { recursive: true });
  symlinkSync(other.canary, `${target}/spool/e`);
  const refused = await other.command("restore", "latest", "--target", target, "--overwrite", "if-different");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("symbolic link");
  expect(readdirSync(other.canary).sort()).toEqual(["bird", "inner", "message"]);
});

function outside(site: HostileSite, name: string) {
  const path = `${site.canary}/${name}`;
  const { mode, uid, gid, mtimeMs } = lstatSync(path);
  return { mode, uid, gid, mtimeMs, text: readFileSync(path, "utf8") };
}
