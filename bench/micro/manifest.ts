/**
 * How fast manifest pages are written and read: `npx tsx bench/micro/manifest.ts`. One JSON line a case.
 * Counted in CPU time, garbage collection included: a busy machine does not spoil it.
 * What matters: an unchanged run decodes every mailbox entry (at least 150,000 a second).
 */
import { createHash } from "node:crypto";
import { fromText } from "../../src/base/byte-string.ts";
import { mailboxPages } from "../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../src/manifest/message-page.ts";
import type { FileStat, MailboxEntry, MessageEntry } from "../../src/manifest/model.ts";
import type { PageCodec, PageKey } from "../../src/manifest/page-codec.ts";
import { asObjectId, type ObjectId } from "../../src/store/object.ts";

const MIN_MS = 1000;

function objectId(of: string): ObjectId {
  return asObjectId(new Uint8Array(createHash("sha256").update(of).digest()));
}

function stat(i: number, mode: number, size: number): FileStat {
  const ns = BigInt(1_700_000_000 + ((i * 7919) % 30_000_000)) * 1_000_000_000n + BigInt((i * 104_729) % 1e9);
  return { mode, uid: 76, gid: 8, size, mtimeNs: ns, ctimeNs: ns, inode: 5_000_000 + i * 7, links: 1 };
}

function mailbox(i: number): MailboxEntry {
  const user = `user${String(Math.floor(i / 10)).padStart(5, "0")}`;
  const folder = `Folder${i % 10}`;
  const file = (name: string, position: number) => ({
    directory: 0,
    name: fromText(name),
    stat: stat(i * 5 + position, 0o100600, 200 + position * 5000),
    fileClass: "critical" as const,
    content:
      name === "cyrus.header"
        ? { form: "inline" as const, bytes: new Uint8Array(189).fill(i) }
        : { form: "objects" as const, size: 200 + position * 5000, ids: [objectId(`${name} ${i}`)] },
    racy: false,
  });
  return {
    name: fromText(`user.${user}.${folder}`),
    uniqueid: fromText(
      objectId(String(i))
        .reduce((text, byte) => text + byte.toString(16), "")
        .slice(0, 24),
    ),
    partition: fromText("default"),
    mailboxType: fromText("e"),
    acl: fromText(`${user}\tlrswipkxtecdan\t`),
    quotaRoot: fromText(`user.${user}`),
    listed: true,
    uidvalidity: 1_690_000_000 + i,
    lastUid: 40 + (i % 100),
    highestModseq: BigInt(1000 + i),
    generation: i % 7,
    indexVersion: 17,
    messages: 40,
    bytes: 3_000_000,
    directories: [
      {
        role: "data",
        path: fromText(`/var/spool/cyrus/mail/u/user/${user}/${folder}`),
        stat: stat(i * 5, 0o40700, 4096),
      },
    ],
    files: ["cyrus.header", "cyrus.index", "cyrus.cache", "cyrus.annotations"].map(file),
    messagePages: { page: objectId(`page ${i}`), height: 0, entries: 40 },
    openFindings: 0,
    racy: false,
    rules: 12_345,
  };
}

function message(i: number): MessageEntry {
  return {
    uid: i + 1,
    object: objectId(String(i)),
    directory: 0,
    mode: 0o100600,
    uidOwner: 76,
    gidOwner: 8,
    mtimeNs: BigInt(1_700_000_000 + i * 4000 + ((i * 7919) % 3000)) * 1_000_000_000n,
    inode: 5_000_000 + i * 3,
    linked: false,
  };
}

function measure<T, K extends PageKey>(codec: PageCodec<T, K>, entries: readonly T[]): void {
  const bytes = codec.encode(entries);
  const perSecond = (work: () => unknown): number => {
    work();
    const start = process.cpuUsage();
    const spentMs = () => {
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1000;
    };
    let rounds = 0;
    for (; spentMs() < MIN_MS; rounds++) work();
    return Math.round((rounds * entries.length * 1000) / spentMs());
  };
  console.log(
    JSON.stringify({
      page: codec.what,
      entries: entries.length,
      bytesAnEntry: Number((bytes.length / entries.length).toFixed(1)),
      encodedPerSecond: perSecond(() => codec.encode(entries)),
      decodedPerSecond: perSecond(() => codec.decode(bytes)),
      node: process.version,
    }),
  );
}

measure(
  mailboxPages,
  Array.from({ length: 100 }, (_, i) => mailbox(i)),
);
measure(
  messagePages,
  Array.from({ length: 1024 }, (_, i) => message(i)),
);
