import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { toHex } from "../../../src/base/bytes.ts";
import { filePages } from "../../../src/manifest/file-page.ts";
import type { Finding } from "../../../src/manifest/finding.ts";
import { findingPages } from "../../../src/manifest/finding-page.ts";
import { decodeInnerPage, encodeInnerPage } from "../../../src/manifest/inner-page.ts";
import { mailboxPages } from "../../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../../src/manifest/message-page.ts";
import type { FileEntry, MailboxEntry, MessageEntry } from "../../../src/manifest/model.ts";
import { asObjectId } from "../../../src/store/object.ts";
import { bytesOf } from "./support.ts";

const page = readFileSync(new URL("../../../docs/formats/manifest.md", import.meta.url), "utf8");

/** The bytes of a block that begins with ```hex NAME; what follows # in a line is for people. */
function fromPage(name: string): Uint8Array {
  const block = page.split(`\`\`\`hex ${name}\n`)[1]?.split("```")[0];
  if (block === undefined) throw new Error(`the page has no example ${name}`);
  return Buffer.from(block.replace(/#.*$/gm, "").replace(/\s/g, ""), "hex");
}

const id = (byte: number) => asObjectId(new Uint8Array(32).fill(byte));
const seconds = (s: number, ns = 0) => BigInt(s) * 1_000_000_000n + BigInt(ns);
const stat = {
  mode: 0o100600,
  uid: 76,
  gid: 8,
  links: 1,
  size: 189,
  mtimeNs: seconds(1_700_000_000, 250_000_000),
  ctimeNs: seconds(1_700_000_000, 250_000_000),
  inode: 1000,
};

const messages: MessageEntry[] = [
  {
    uid: 1,
    object: id(0xa1),
    directory: 0,
    mode: 0o100600,
    uidOwner: 76,
    gidOwner: 8,
    mtimeNs: seconds(1_700_000_000),
    inode: 1001,
    linked: false,
  },
  {
    uid: 3,
    object: id(0xa3),
    good: id(0xb3),
    directory: 0,
    mode: 0o100600,
    uidOwner: 76,
    gidOwner: 8,
    mtimeNs: seconds(1_700_000_060, 5),
    inode: 1002,
    linked: true,
    size: 2345,
  },
];

const mailbox: MailboxEntry = {
  name: bytesOf("user.anna"),
  uniqueid: bytesOf("3b1c5d7e9f01a2b4"),
  partition: bytesOf("default"),
  mailboxType: bytesOf("e"),
  acl: bytesOf("anna\tlrswipkxtecdan\t"),
  quotaRoot: undefined,
  listed: true,
  uidvalidity: 1_690_000_000,
  lastUid: 3,
  highestModseq: 17n,
  generation: 2,
  indexVersion: 17,
  messages: 2,
  bytes: 4690,
  directories: [
    {
      role: "data",
      path: bytesOf("/spool/user/anna"),
      stat: { ...stat, mode: 0o40700, links: 2, size: 4096, inode: 990 },
    },
  ],
  files: [
    {
      directory: 0,
      name: bytesOf("cyrus.header"),
      stat,
      fileClass: "critical",
      content: { form: "inline", bytes: Uint8Array.of(0x61, 0x62, 0x63) },
      racy: false,
    },
  ],
  messagePages: { page: id(0xc1), height: 0, entries: 2 },
  openFindings: 1,
  racy: false,
  rules: 5,
};

const files: FileEntry[] = [
  {
    path: bytesOf("/etc/imapd.conf"),
    stat: { ...stat, mode: 0o100640, uid: 0, mtimeNs: seconds(-1), ctimeNs: seconds(1_700_000_000) },
    fileClass: "critical",
    content: { form: "objects", size: 1800, ids: [id(0xd1)] },
    racy: true,
  },
  {
    path: bytesOf("/etc/imapd.link"),
    stat: { ...stat, mode: 0o120777, uid: 0, size: 10 },
    fileClass: "critical",
    target: bytesOf("imapd.conf"),
    racy: false,
  },
];

const findings: Finding[] = [
  {
    code: "message-missing",
    severity: "error",
    path: bytesOf("/spool/user/anna/2."),
    mailbox: bytesOf("user.anna"),
    uid: 2,
    message: "gone",
    sinceMs: 1_700_000_000_000,
    accepted: false,
  },
];

const children = [
  { firstKey: 1, page: id(0xe1), entries: 1000 },
  { firstKey: 1200, page: id(0xe2), entries: 7 },
];

describe("the worked example in docs/formats/manifest.md is what is written and read:", () => {
  const examples: [string, () => Uint8Array, (bytes: Uint8Array) => unknown, unknown][] = [
    ["messages", () => messagePages.encode(messages), messagePages.decode, messages],
    ["mailboxes", () => mailboxPages.encode([mailbox]), mailboxPages.decode, [mailbox]],
    ["files", () => filePages.encode(files), filePages.decode, files],
    ["findings", () => findingPages.encode(findings), findingPages.decode, findings],
    [
      "inner",
      () => encodeInnerPage(messagePages, 1, children),
      (bytes) => decodeInnerPage(messagePages, 1, bytes),
      children,
    ],
  ];
  test.each(examples)("%s", (name, encode, decode, value) => {
    expect(toHex(encode())).toBe(toHex(fromPage(name)));
    expect(decode(fromPage(name))).toEqual(value);
  });
});
