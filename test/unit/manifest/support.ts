import { createHash } from "node:crypto";
import fc from "fast-check";
import { type ByteString, fromBytes, fromText } from "../../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import type { Finding, FindingCode } from "../../../src/manifest/finding.ts";
import type {
  Content,
  FileEntry,
  FileStat,
  MailboxEntry,
  MailboxFile,
  MessageEntry,
  PageTree,
} from "../../../src/manifest/model.ts";
import type { PageKind, PageSink, PageSource } from "../../../src/manifest/pages-io.ts";
import { asObjectId, idKey, type ObjectId } from "../../../src/store/object.ts";

/** A repository that is a map. Ids are as they would be in an unencrypted one, near enough. */
export class MemoryPages implements PageSink, PageSource {
  readonly objects = new Map<ByteString, { kind: PageKind; bytes: Uint8Array }>();
  /** Objects that were new, in the order in which they came. */
  added: Uint8Array[] = [];
  puts = 0;
  gets = 0;

  put(kind: PageKind, bytes: Uint8Array): Promise<ObjectId> {
    this.puts++;
    const id = testId(kind, bytes);
    if (!this.objects.has(idKey(id))) {
      this.objects.set(idKey(id), { kind, bytes });
      this.added.push(bytes);
    }
    return Promise.resolve(id);
  }

  get(kind: PageKind, id: ObjectId): Promise<Uint8Array> {
    this.gets++;
    const found = this.objects.get(idKey(id));
    if (found === undefined || found.kind !== kind) return Promise.reject(new Error("no such object"));
    return Promise.resolve(found.bytes);
  }
}

export function testId(...parts: (string | Uint8Array)[]): ObjectId {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return asObjectId(new Uint8Array(hash.digest()));
}

/** Whatever the bytes: an answer or a CyrvaultError, nothing else. */
export function answersOrRefuses(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
  }
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export const bytesOf = (text: string): ByteString => fromText(text);

const objectIds: fc.Arbitrary<ObjectId> = fc.nat().map((n) => testId(String(n)));

const byteStrings = (maxLength = 20): fc.Arbitrary<ByteString> =>
  fc.uint8Array({ maxLength }).map((bytes) => fromBytes(bytes));

const names: fc.Arbitrary<ByteString> = fc.oneof(
  byteStrings(),
  fc.constantFrom("cyrus.header", "cyrus.index", "default", "e").map(bytesOf),
);

const times: fc.Arbitrary<bigint> = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 31 }).map((s) => BigInt(s) * 1_000_000_000n),
  fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((s) => s * 1_000_000_000n + 999_999_999n),
  fc.constantFrom(0n, -1n, 2n ** 48n * 1_000_000_000n, -(2n ** 48n) * 1_000_000_000n - 1n),
);

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const numbers = fc.oneof(fc.nat(1000), u32, fc.maxSafeNat());

const stats: fc.Arbitrary<FileStat> = fc.record(
  {
    mode: fc.constantFrom(0o100600, 0o40755, 0xffff_ffff),
    uid: fc.constantFrom(0, 76, 0xffff_ffff),
    gid: fc.constantFrom(0, 8),
    size: numbers,
    mtimeNs: times,
    ctimeNs: times,
    inode: numbers,
    links: fc.constantFrom(1, 2),
  },
  { noNullPrototype: true },
);

export const contents: fc.Arbitrary<Content> = fc.oneof(
  fc.record(
    {
      form: fc.constant("inline" as const),
      bytes: fc
        .oneof(fc.uint8Array({ maxLength: 20 }), fc.constant(new Uint8Array(512).fill(7)))
        .map((b) => new Uint8Array(b)),
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      form: fc.constant("objects" as const),
      size: numbers,
      ids: fc.array(objectIds, { minLength: 1, maxLength: 64 }),
    },
    { noNullPrototype: true },
  ),
  fc.record(
    { form: fc.constantFrom("list" as const, "pairs" as const), size: numbers, list: objectIds },
    { noNullPrototype: true },
  ),
);

export const trees: fc.Arbitrary<PageTree> = fc.oneof(
  fc.constant({ page: undefined, height: 0, entries: 0 }),
  fc.record(
    { page: objectIds, height: fc.nat(8), entries: fc.integer({ min: 1, max: 2 ** 40 }) },
    { noNullPrototype: true },
  ),
);

export const messageLists: fc.Arbitrary<MessageEntry[]> = fc
  .uniqueArray(
    fc.record(
      {
        uid: fc.oneof(fc.nat(50), u32),
        object: objectIds,
        good: objectIds,
        directory: fc.nat(2),
        mode: fc.constantFrom(0o100600, 0o100644),
        uidOwner: fc.constantFrom(76, 0xffff_ffff),
        gidOwner: fc.nat(2),
        mtimeNs: times,
        inode: numbers,
        linked: fc.boolean(),
        size: numbers,
      },
      {
        noNullPrototype: true,
        requiredKeys: [
          "uid",
          "object",
          "directory",
          "mode",
          "uidOwner",
          "gidOwner",
          "mtimeNs",
          "inode",
          "linked",
        ],
      },
    ),
    { selector: (entry) => entry.uid, minLength: 1, maxLength: 30 },
  )
  .map((entries) => entries.sort((a, b) => a.uid - b.uid));

const mailboxFiles: fc.Arbitrary<MailboxFile> = fc.record(
  {
    directory: fc.nat(3),
    name: names,
    stat: stats,
    fileClass: fc.constantFrom("critical", "derivable", "expensive", "disposable"),
    content: contents,
    target: byteStrings(),
    leftOut: fc.constantFrom("disposable", "nicht gewünscht"),
    racy: fc.boolean(),
  },
  { noNullPrototype: true, requiredKeys: ["directory", "name", "stat", "fileClass", "racy"] },
);

export const mailboxLists: fc.Arbitrary<MailboxEntry[]> = fc
  .uniqueArray(
    fc.record(
      {
        name: byteStrings(),
        uniqueid: fc.option(names, { nil: undefined }),
        partition: names,
        mailboxType: names,
        acl: byteStrings(),
        quotaRoot: fc.option(names, { nil: undefined }),
        listed: fc.boolean(),
        uidvalidity: u32,
        lastUid: u32,
        highestModseq: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        generation: numbers,
        indexVersion: fc.nat(20),
        messages: numbers,
        bytes: numbers,
        directories: fc.array(
          fc.record(
            {
              role: fc.constantFrom("data" as const, "archive" as const, "meta" as const),
              path: byteStrings(),
              stat: stats,
            },
            { noNullPrototype: true },
          ),
          { maxLength: 3 },
        ),
        files: fc.array(mailboxFiles, { maxLength: 4 }),
        messagePages: trees,
        openFindings: numbers,
        racy: fc.boolean(),
        rules: numbers,
      },
      { noNullPrototype: true },
    ),
    { selector: (entry) => entry.name, minLength: 1, maxLength: 6 },
  )
  .map((entries) => entries.sort((a, b) => (a.name < b.name ? -1 : 1)));

export const fileLists: fc.Arbitrary<FileEntry[]> = fc
  .uniqueArray(
    fc.record(
      {
        path: fc
          .array(fc.constantFrom("a", "b", "ab", "a-", "\xe4"), { minLength: 1, maxLength: 4 })
          .map((parts) => `/${parts.join("/")}` as ByteString),
        stat: stats,
        fileClass: fc.constantFrom("critical", "derivable", "expensive", "disposable"),
        content: contents,
        target: byteStrings(),
        leftOut: fc.string({ unit: "binary" }),
        mailboxDirectory: fc.boolean(),
        racy: fc.boolean(),
      },
      { noNullPrototype: true, requiredKeys: ["path", "stat", "fileClass", "racy"] },
    ),
    { selector: (entry) => entry.path, minLength: 1, maxLength: 10 },
  )
  .map((entries) =>
    entries.sort((a, b) => (a.path.replaceAll("/", "\0") < b.path.replaceAll("/", "\0") ? -1 : 1)),
  );

export const findings: fc.Arbitrary<Finding> = fc.record(
  {
    code: fc.constantFrom<FindingCode>("file-unreadable", "message-missing", "guid-absent"),
    severity: fc.constantFrom("note" as const, "warning" as const, "error" as const),
    path: fc.constantFrom("/a", "/a/1.", "/b/\xff").map((path) => path as ByteString),
    mailbox: names,
    uid: fc.oneof(fc.nat(3), u32),
    message: fc.string({ unit: "binary" }),
    sinceMs: numbers,
    accepted: fc.boolean(),
  },
  { noNullPrototype: true, requiredKeys: ["code", "severity", "path", "message", "sinceMs", "accepted"] },
);

/** Made so that entries of a mailbox of real mail cost what they cost here. */
export function typicalMessage(uid: number): MessageEntry {
  return {
    uid,
    object: testId("message", String(uid)),
    directory: 0,
    mode: 0o100600,
    uidOwner: 76,
    gidOwner: 8,
    mtimeNs: BigInt(1_700_000_000 + uid * 4_000 + ((uid * 7919) % 3_000)) * 1_000_000_000n,
    inode: 5_000_000 + uid * 3 + ((uid * 31) % 50),
    linked: false,
  };
}
