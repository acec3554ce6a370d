/** A user's own files beside the mail: subscriptions, seen state in shared mailboxes, counters, quota, a sieve script. */
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { encodeFlat } from "../cyrus/flat.ts";
import { encodeQuota } from "../cyrus/quota.ts";
import { encodeTwoskip } from "../cyrus/twoskip-encode.ts";
import { encodeCounters, seenRecord, subscriptionRecords, uidSequence } from "./database-values.ts";
import { writeFile } from "./disk.ts";
import type { SampleMailbox } from "./mailbox.ts";
import type { SampleServer, SampleUser } from "./sample-server.ts";

const SCRIPT = 'if header :contains "x-spam-flag" "YES" {\r\n  discard;\r\n  stop;\r\n}\r\nkeep;\r\n';
/** The same, compiled by sievec of 3.6.1. */
const BYTECODE = Buffer.from(
  "Q3lyU0J5dGVjb2RlAAAAHwAAAAAAAAAGAAAAFgAAAA4AAAAAAAAAJf////8AAAAdAAAAAQAAAEgAAAALeC1zcGFtLWZsYWcAAAAAAQAAAFgAAAADWUVTAAAAABAAAAAaAAAAAgAAAAAAAAAjAAAAAAAAAHQ=",
  "base64",
);
const QUOTA_KIB_MIN = 200_000n;
const KIB = 1024n;

/** Users with a limit: two of three. */
export function hasQuota(user: number): boolean {
  return user % 3 !== 2;
}

/** @param own - all the user's mailboxes that are not deleted. @param shared - those that he can read. */
export function writeUserFiles(
  server: SampleServer,
  user: SampleUser,
  own: readonly SampleMailbox[],
  shared: readonly SampleMailbox[],
): void {
  const { layout } = server;
  const file = (suffix: string) => layout.userFile(user.id, user.inboxId, suffix);
  const subscribed = own.filter((_, i) => i % 5 !== 4).map(({ name }) => name);
  const subscriptions = [...subscribed, ...shared.slice(0, 1).map(({ name }) => name)];
  writeFile(file("sub"), encodeFlat(subscriptionRecords(subscriptions, user.inbox)));
  writeFile(file("counters"), encodeCounters(user.highestModseq, user.folderModseq, user.uidValidity));
  if (user.number % 2 === 0) writeFile(file("seen"), encodeTwoskip(seenRecords(server, user, shared)));
  if (hasQuota(user.number)) writeFile(layout.quotaFile(user.inbox), quotaFile(user, own));
  if (user.number % 4 === 0) writeSieve(layout.sieveDirectory(user.id, user.inboxId));
}

function seenRecords(server: SampleServer, user: SampleUser, shared: readonly SampleMailbox[]) {
  return [...shared]
    .sort((a, b) => (a.uniqueId < b.uniqueId ? -1 : 1))
    .map(({ uniqueId, exists }) => {
      const uids = Array.from({ length: exists }, (_, i) => i + 1).filter(
        (uid) => uid % 7 !== user.number % 7,
      );
      return seenRecord(uniqueId, {
        lastRead: server.now - 60,
        lastUid: uids.at(-1) ?? 0,
        lastChange: server.now - 60,
        seenUids: uidSequence(uids),
      });
    });
}

function quotaFile(user: SampleUser, own: readonly SampleMailbox[]): Buffer {
  const sum = (of: (mailbox: SampleMailbox) => number) =>
    BigInt(own.reduce((total, mailbox) => total + of(mailbox), 0));
  const used = sum(({ usedBytes }) => usedBytes);
  const limit = (used * 2n) / KIB > QUOTA_KIB_MIN ? (used * 2n) / KIB : QUOTA_KIB_MIN;
  return encodeQuota({
    resources: new Map([
      ["S", { used, limit }],
      ["M", { used: sum(({ exists }) => exists) }],
      ["AS", { used: sum(({ usedAnnotationBytes }) => usedAnnotationBytes) }],
      ["NF", { used: BigInt(own.length) }],
    ]),
    modseq: BigInt(user.highestModseq),
  });
}

function writeSieve(directory: string): void {
  mkdirSync(directory, { recursive: true });
  writeFile(`${directory}/spam.script`, SCRIPT);
  writeFile(`${directory}/spam.bc`, BYTECODE);
  if (!existsSync(`${directory}/defaultbc`)) symlinkSync("spam.bc", `${directory}/defaultbc`);
}

/** By owner's number, deleted ones left out; `undefined` has the shared ones. */
export function mailboxesByOwner(
  mailboxes: readonly SampleMailbox[],
): Map<number | undefined, SampleMailbox[]> {
  const byOwner = new Map<number | undefined, SampleMailbox[]>();
  for (const mailbox of mailboxes) {
    if (mailbox.role === "deleted") continue;
    const known = byOwner.get(mailbox.owner);
    if (known === undefined) byOwner.set(mailbox.owner, [mailbox]);
    else known.push(mailbox);
  }
  return byOwner;
}
