/** Fuzz targets: manifests. */
import { MemoryBackend } from "../../src/backend/memory.ts";
import type { ByteString } from "../../src/base/byte-string.ts";
import { ByteWriter } from "../../src/base/bytes.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { readAcceptRules } from "../../src/inspect/accepted.ts";
import { AcceptRules } from "../../src/manifest/accept-rules.ts";
import { contentIds, readContent } from "../../src/manifest/content.ts";
import { PairJoiner } from "../../src/manifest/content-pair.ts";
import { filePages } from "../../src/manifest/file-page.ts";
import { findingPages } from "../../src/manifest/finding-page.ts";
import { decodeInnerPage } from "../../src/manifest/inner-page.ts";
import { mailboxPages } from "../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../src/manifest/message-page.ts";
import type { Content, PageTree } from "../../src/manifest/model.ts";
import { INNER, type PageCodec, type PageKey } from "../../src/manifest/page-codec.ts";
import type { PageSource } from "../../src/manifest/pages-io.ts";
import { pageIds, readPageTree } from "../../src/manifest/read-page-tree.ts";
import { decodeRoot, encodeRoot } from "../../src/manifest/root.ts";
import { soundEntries } from "../../src/manifest/sound-pages.ts";
import { asObjectId } from "../../src/store/object.ts";
import { UNENCRYPTED } from "../../src/store/seal-context.ts";
import { Sealer } from "../../src/store/sealer.ts";
import { goldenFiles, goldenSeeds } from "./golden-seeds.ts";
import { eachByItself, type FuzzTarget, requireThat } from "./target.ts";

const DAMAGED: readonly ErrorCode[] = ["REPOSITORY_DAMAGED", "REPOSITORY_VERSION"];
const ID = asObjectId(new Uint8Array(32).fill(5));
const BYTES_READ_MAX = 8 * 1024 * 1024;

/** Pages of one sort. What is read is written again: it must be read to the same, and reading must not stumble over writing. */
function pages<T, K extends PageKey>(name: string, codec: PageCodec<T, K>): FuzzTarget {
  return {
    name,
    seeds: async () => await ofKind(codec.kind),
    codes: DAMAGED,
    run: (input) => {
      const entries = codec.decode(input);
      requireThat(entries.length > 0 && entries.length <= input.length, "more entries than bytes");
      const again = codec.decode(codec.encode(entries));
      requireThat(again.length === entries.length, "another number of entries");
    },
  };
}

async function ofKind(kind: number): Promise<Buffer[]> {
  const { manifestObjects } = await goldenSeeds();
  const all = manifestObjects.filter((bytes) => bytes[0] === kind && bytes.length < 32_768).slice(0, 30);
  return all.length > 0 ? all : manifestObjects.slice(0, 5);
}

/** A repository in which every id leads to the same bytes: pages that name themselves. */
function everyId(bytes: Uint8Array): PageSource {
  let left = BYTES_READ_MAX;
  return {
    get: async () => {
      left -= 1 + bytes.length;
      if (left < 0) throw new Error("the same page is read again and again");
      return bytes;
    },
  } as PageSource;
}

const JSON_ROOT = async (): Promise<Buffer[]> => {
  const sealer = new Sealer(UNENCRYPTED);
  return [...goldenFiles("plain")]
    .filter(([name]) => name.startsWith("backups/"))
    .map(([name, bytes]) => sealer.openNamed("backup", name, bytes));
};

export const MANIFEST_TARGETS: readonly FuzzTarget[] = [
  {
    name: "manifest-root",
    seeds: JSON_ROOT,
    codes: DAMAGED,
    run: (input) => {
      const root = decodeRoot(input);
      const printed = Buffer.from(encodeRoot(root));
      requireThat(
        Buffer.from(encodeRoot(decodeRoot(printed))).equals(printed),
        "it does not encode to the same",
      );
    },
  },
  pages("message-page", messagePages),
  pages("mailbox-page", mailboxPages),
  pages("file-page", filePages),
  pages("finding-page", findingPages),
  {
    name: "inner-page",
    seeds: async () => [...(await innerSeeds()), ...(await ofKind(messagePages.kind | INNER))],
    codes: DAMAGED,
    run: async (input) => {
      const level = Math.max(1, (input[2] ?? 0) % 9);
      const tree: PageTree = { page: ID, height: level, entries: 3 };
      const walk = async (entries: AsyncIterable<unknown>): Promise<void> => {
        for await (const entry of entries) requireThat(entry !== undefined, "no entry");
      };
      await walk(soundEntries(tree, everyId(input), messagePages, () => {}));
      await eachByItself(
        () => decodeInnerPage(messagePages, level, input),
        () => decodeInnerPage(mailboxPages, level, input),
        () => walk(readPageTree(tree, everyId(input), mailboxPages)),
        () => walk(pageIds(tree, everyId(input), filePages)),
      );
    },
  },
  {
    name: "content-list",
    seeds: () => [64, 640, 33].map((length) => Buffer.alloc(length, 2)),
    codes: DAMAGED,
    run: async (input) => {
      const size = input.length < 4 ? 0 : input.readUInt32BE(0);
      const forms: Content[] = [
        { form: "list", size, list: ID },
        { form: "pairs", size, list: ID },
        { form: "objects", size, ids: [ID, ID] },
      ];
      const source = everyId(input.subarray(0, 1024));
      const readings = forms.flatMap((content) =>
        [readContent, contentIds].map((read) => async () => {
          for await (const bytes of read(content, source)) requireThat(bytes.length <= 1024, "too much");
        }),
      );
      await eachByItself(...readings);
    },
  },
  {
    name: "content-pair",
    seeds: async () => await pairSeeds(),
    codes: DAMAGED,
    run: (input) => {
      if (input.length < 4) return;
      const changingBytes = input.readUInt32BE(0) % (input.length + 1);
      const changing = input.subarray(4, 4 + changingBytes);
      const lasting = input.subarray(4 + changing.length);
      const joiner = new PairJoiner();
      const made = joiner.join(lasting, changing);
      requireThat(made.length <= 4 * input.length, "more bytes than can be");
      joiner.join(lasting, changing);
    },
  },
  {
    name: "accepted",
    seeds: () => [
      Buffer.from(
        JSON.stringify({ format: 1, server: "mail", rules: ["file-unreadable:/a/*", "guid-absent"] }),
      ),
    ],
    codes: [...DAMAGED, "USAGE"],
    run: async (input) => {
      const sealer = new Sealer(UNENCRYPTED);
      const name = `accepted/${sealer.mac("accepted", Buffer.from("mail")).subarray(0, 16).toString("hex")}`;
      const backend = new MemoryBackend(new Map([[name, sealer.sealNamed("accepted", name, input)]]));
      const rules = await readAcceptRules({ backend, sealer }, "mail");
      const finding = {
        code: "guid-absent",
        path: "/a/b/c" as ByteString,
        mailbox: "user.anna" as ByteString,
      } as const;
      new AcceptRules(rules).accepts(finding);
      requireThat(rules.length <= input.length, "more rules than bytes");
    },
  },
];

async function innerSeeds(): Promise<Buffer[]> {
  const uids = new ByteWriter()
    .u8(messagePages.kind | INNER)
    .u8(1)
    .u8(1)
    .varint(2);
  uids.varint(0).raw(ID).varint(1).varint(5).raw(ID).varint(2);
  const names = new ByteWriter()
    .u8(mailboxPages.kind | INNER)
    .u8(1)
    .u8(2)
    .varint(1);
  names.varint(0).bytes(Buffer.from("user.anna")).raw(ID).varint(3);
  return [uids.toBytes(), names.toBytes()];
}

/** Lasting and changing parts stand beside each other in the lists of pairs; here any two small objects do. */
async function pairSeeds(): Promise<Buffer[]> {
  const { metaObjects } = await goldenSeeds();
  const small = metaObjects.filter((bytes) => bytes.length < 16_384);
  const changing = small.filter((bytes) => (bytes[0] ?? 9) <= 2).slice(0, 20);
  return changing.flatMap((part) => {
    const at = metaObjects.indexOf(part);
    return [metaObjects[at - 1], metaObjects[at + 1]]
      .filter((bytes) => bytes !== undefined)
      .map((lasting) =>
        new ByteWriter().u32(part.length).raw(part).raw(lasting.subarray(0, 16_384)).toBytes(),
      );
  });
}
