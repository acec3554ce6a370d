/** Fuzz targets: what the store keeps. Checksums are made right after the mutation: anybody can make them. */
import { createHash } from "node:crypto";
import { MemoryBackend } from "../../src/backend/memory.ts";
import { ByteWriter } from "../../src/base/bytes.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { VERIFIED_PREFIX, VerifiedTimes } from "../../src/check/verified-times.ts";
import { readTags } from "../../src/retention/backup-tags.ts";
import { newTimedId, readCheckpoint, readCheckpoints, readRuns } from "../../src/store/backup-files.ts";
import { Cache } from "../../src/store/cache.ts";
import { compress, decompress } from "../../src/store/codec.ts";
import { FORGOTTEN_PREFIX, readForgotten } from "../../src/store/forgotten.ts";
import { gcName, readGcState } from "../../src/store/gc-record.ts";
import {
  decodeKeySet,
  encodeKeySet,
  newKeySet,
  sealContextOf,
  writeOnlyKeySet,
} from "../../src/store/key-set.ts";
import {
  describeKeyFile,
  keyFileName,
  makeKeyFile,
  openKeyFiles,
  verifyKeyFile,
} from "../../src/store/keys.ts";
import { PackDirectory } from "../../src/store/pack-directory.ts";
import { decodePackFooter, encodePackFooter, FOOTER_BYTES } from "../../src/store/pack-footer.ts";
import { openPack, readBlock } from "../../src/store/pack-reader.ts";
import { asPackId, BLOCK_BYTES_MAX, packName } from "../../src/store/pack-types.ts";
import { decodePaperKey, encodePaperKey, isPaperKey } from "../../src/store/paper-key.ts";
import { CONFIG_NAME, decodeConfig, isConfigOf } from "../../src/store/repository-config.ts";
import { UNENCRYPTED } from "../../src/store/seal-context.ts";
import { decodeSealedHeader, PACK_MAGIC, SEALED_FILE_MAGIC } from "../../src/store/seal-header.ts";
import { Sealer } from "../../src/store/sealer.ts";
import { readSecretFile } from "../../src/store/secret.ts";
import { Segment } from "../../src/store/segment.ts";
import {
  asSegmentId,
  decodeSegmentDirectory,
  decodeSegmentEnds,
  encodeSegmentDirectory,
  encodeSegmentFooter,
  encodeSegmentHeader,
  SEGMENT_FOOTER_BYTES,
  SEGMENT_HEADER_BYTES,
  SEGMENT_PURPOSE,
  SEGMENTS_PREFIX,
  segmentName,
} from "../../src/store/segment-format.ts";
import { goldenFiles, goldenSeeds } from "./golden-seeds.ts";
import { eachByItself, type FuzzTarget, requireThat } from "./target.ts";

const DAMAGED: readonly ErrorCode[] = ["REPOSITORY_DAMAGED", "REPOSITORY_VERSION"];
const SEALER = new Sealer(UNENCRYPTED);
const RUN = newTimedId(Date.UTC(2026, 0, 2), (count) => Buffer.alloc(count, 7));
const KEY_FILE_SECRET = { kind: "secret-file", bytes: Buffer.alloc(64, 0x5a) } as const;
const fixed = (count: number): Uint8Array =>
  Uint8Array.from({ length: count }, (_, i) => (i * 37 + 11) & 255);
const KEY_SET = newKeySet(fixed);
const PACK_ID = asPackId(fixed(32));
const SEGMENT_NAME = [...goldenFiles("plain").keys()].find((name) => name.startsWith(SEGMENTS_PREFIX)) ?? "";
const SEGMENT_ID = asSegmentId(Buffer.from(SEGMENT_NAME.slice(SEGMENTS_PREFIX.length), "hex"));

const json = (...values: unknown[]): Buffer[] => values.map((value) => Buffer.from(JSON.stringify(value)));

/** A repository with this one file, sealed as an attacker who has the key seals it. */
function sealed(purpose: string, name: string, plain: Uint8Array) {
  const files = new Map([[name, SEALER.sealNamed(purpose, name, plain)]]);
  return { backend: new MemoryBackend(files), sealer: SEALER, requireWritable: () => {} };
}

function check(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest().subarray(0, 16);
}

/** The checksum at the end of a header, made right. */
function headerChecked(input: Buffer): Buffer {
  if (input.length < 27) return input;
  const length = input.readUInt16BE(9);
  if (length < 16 || length > input.length) return input;
  check(input.subarray(0, length - 16)).copy(input, length - 16);
  return input;
}

const RUN_RECORD = {
  format: 1,
  run: RUN,
  kind: "backup",
  server: "mail",
  host: "here",
  pid: 1,
  startedMs: 1,
  heartbeatMs: 2,
  gcSeen: 0,
  parent: null,
  checkpoints: ["a-b"],
  backup: RUN,
  process: "x",
};

export const STORE_TARGETS: readonly FuzzTarget[] = [
  {
    name: "sealed-header",
    seeds: async () =>
      [
        ...[...goldenFiles("plain").values()].slice(0, 6),
        ...[...goldenFiles("encrypted").values()].slice(0, 6),
      ].map((bytes) => bytes.subarray(0, 256)),
    codes: DAMAGED,
    run: (input) => {
      const bytes = headerChecked(input);
      const keyed = sealContextOf(KEY_SET, fixed(16));
      return eachByItself(
        () => decodeSealedHeader(UNENCRYPTED, PACK_MAGIC, bytes, "it"),
        () => decodeSealedHeader(UNENCRYPTED, SEALED_FILE_MAGIC, bytes, "it"),
        () => decodeSealedHeader(keyed, PACK_MAGIC, bytes, "it"),
        () => decodeSealedHeader(keyed, SEALED_FILE_MAGIC, bytes, "it", "writers"),
      );
    },
  },
  {
    name: "sealed-file",
    seeds: () => [
      SEALER.sealNamed("backup", "backups/x", Buffer.from("content"), fixed),
      SEALER.sealNamed("run", "runs/y", Buffer.alloc(300)),
    ],
    codes: DAMAGED,
    run: (input) => SEALER.openNamed("backup", "backups/x", headerChecked(input)),
  },
  {
    name: "pack-footer",
    seeds: () => [
      encodePackFooter(Buffer.alloc(80), { directoryOffset: 999_000, directoryBytes: 1000 - FOOTER_BYTES }),
    ],
    codes: DAMAGED,
    run: (input) => {
      const header = Buffer.alloc(80);
      if (input.length === FOOTER_BYTES)
        createHash("sha256").update(header).update(input.subarray(0, 12)).digest().copy(input, 12, 0, 16);
      const { directoryOffset, directoryBytes } = decodePackFooter(header, input, 1_000_000, "it");
      requireThat(
        directoryOffset + directoryBytes + FOOTER_BYTES === 1_000_000,
        "a directory outside the file",
      );
    },
  },
  {
    name: "pack-directory",
    seeds: async () => (await goldenSeeds()).packDirectories,
    codes: DAMAGED,
    run: (input) => {
      // The columns lie open in the seeds: their lengths are made to fit.
      if (input[0] === 0 && input.length >= 9) input.copyWithin(1, 5, 9);
      const directory = PackDirectory.parse(input);
      for (let ordinal = 0; ordinal < directory.objectCount; ordinal++) {
        const { block, headOffset, headLength, tailOffset, tailLength } = directory.place(ordinal);
        const { rawBytes } = directory.blockAt(block);
        requireThat(
          headOffset + headLength <= rawBytes && tailOffset + tailLength <= rawBytes,
          "an object outside its block",
        );
        requireThat(headLength >= 0 && tailLength >= 0, "a negative length");
        directory.idAt(ordinal);
        directory.kindAt(ordinal);
        directory.referencesAt(ordinal);
        directory.referencePlacesAt(ordinal);
      }
      for (let block = 0; block < directory.blockCount; block++) directory.holdsMessages(block);
    },
  },
  {
    name: "pack",
    seeds: async () =>
      [...goldenFiles("plain")]
        .filter(([name, bytes]) => name.startsWith("packs/") && bytes.length < 100_000)
        .map(([, bytes]) => bytes),
    codes: [...DAMAGED, "OBJECT_MISSING"],
    run: async (input) => {
      const packId = asPackId(input.length >= 44 ? Buffer.from(input.subarray(12, 44)) : PACK_ID);
      const bytes = headerChecked(input);
      const backend = new MemoryBackend(new Map([[packName(packId), bytes]]));
      const pack = await openPack(backend, packId, UNENCRYPTED);
      for (let block = 0; block < Math.min(pack?.directory.blockCount ?? 0, 4); block++)
        if (pack !== undefined) await readBlock(backend, pack, block);
    },
  },
  {
    name: "block",
    seeds: () =>
      [Buffer.alloc(400, "abc"), Buffer.alloc(100_000), Buffer.from(fixed(300))].flatMap((raw) => {
        const { codec, bytes } = compress(raw, "auto");
        return [
          new ByteWriter().u8(codec).u32(raw.length).raw(bytes).toBytes(),
          new ByteWriter().u8(1).u32(BLOCK_BYTES_MAX).raw(bytes).toBytes(),
          new ByteWriter()
            .u8(2)
            .u32(BLOCK_BYTES_MAX)
            .raw(compress(Buffer.alloc(BLOCK_BYTES_MAX), "fast").bytes)
            .toBytes(),
        ];
      }),
    codes: DAMAGED,
    run: (input) => {
      if (input.length < 5) return;
      // The directory of a pack bounds what a block may say.
      const rawBytes = input.readUInt32BE(1) % (BLOCK_BYTES_MAX + 1);
      const raw = decompress(input[0] as number, input.subarray(5), rawBytes);
      requireThat(raw.length === rawBytes, "another length");
    },
  },
  {
    name: "segment-directory",
    seeds: async () => segmentPlain().map(({ directory }) => directory),
    codes: DAMAGED,
    run: (input) => {
      const directory = decodeSegmentDirectory(input, "it");
      requireThat(encodeSegmentDirectory(directory).equals(input), "it does not encode to the same");
    },
  },
  {
    name: "segment",
    seeds: async () =>
      segmentPlain().map(({ pages, directory }) =>
        new ByteWriter().u32(pages.length).raw(pages).raw(directory).toBytes(),
      ),
    codes: [...DAMAGED, "OBJECT_MISSING"],
    run: async (input) => {
      if (input.length < 4) return;
      const pages = input.subarray(4, 4 + (input.readUInt32BE(0) % (input.length + 1)));
      const plain = input.subarray(4 + pages.length);
      const directory = SEALER.fileSeal(SEGMENT_PURPOSE, SEGMENT_ID).seal(0, plain);
      const footer = {
        directoryOffset: SEGMENT_HEADER_BYTES + pages.length,
        directoryBytes: directory.length,
      };
      const file = Buffer.concat([
        encodeSegmentHeader(SEGMENT_ID),
        pages,
        directory,
        encodeSegmentFooter(SEGMENT_ID, footer),
      ]);
      const backend = new MemoryBackend(new Map([[segmentName(SEGMENT_ID), file]]));
      const segment = await Segment.open(
        backend,
        SEALER,
        SEGMENT_ID,
        new Cache<string, Buffer>(1 << 20, (page) => page.length),
      );
      await segment?.find(fixed(32));
      for (let page = 0; page < Math.min(segment?.pageCount ?? 0, 4); page++) await segment?.readPage(page);
    },
  },
  {
    name: "segment-ends",
    seeds: () => [
      Buffer.concat([
        encodeSegmentHeader(SEGMENT_ID),
        encodeSegmentFooter(SEGMENT_ID, { directoryOffset: 41, directoryBytes: 919 }),
      ]),
    ],
    codes: DAMAGED,
    run: (input) => {
      const header = input.subarray(0, SEGMENT_HEADER_BYTES);
      const footer = input.subarray(SEGMENT_HEADER_BYTES);
      if (header.length < SEGMENT_HEADER_BYTES || footer.length !== SEGMENT_FOOTER_BYTES) return;
      createHash("sha256").update(header).update(footer.subarray(0, 24)).digest().copy(footer, 24, 0, 16);
      decodeSegmentEnds(SEGMENT_ID, header, footer, 1000);
    },
  },
  {
    name: "key-file",
    seeds: async () => [
      ...[...goldenFiles("encrypted")].filter(([name]) => name.startsWith("keys/")).map(([, bytes]) => bytes),
      (await makeKeyFile(KEY_SET, KEY_FILE_SECRET, { createdMs: 0, random: fixed })).bytes,
      (await makeKeyFile(writeOnlyKeySet(KEY_SET), KEY_FILE_SECRET, { createdMs: 0, random: fixed })).bytes,
    ],
    codes: [...DAMAGED, "PASSWORD_WRONG"],
    run: async (input) => {
      const readings = [input, keyFileChecked(input)].map((bytes) => async () => {
        const id = /"id": "([0-9a-f]{32})"/.exec(bytes.toString("latin1"))?.[1] ?? "0".repeat(32);
        const file = { name: keyFileName(id), bytes };
        // A password would cost what scrypt costs; a key file opens what is behind it at once.
        await eachByItself(
          () => verifyKeyFile(file),
          () => describeKeyFile(file),
          () => openKeyFiles([file], KEY_FILE_SECRET),
        );
      });
      await eachByItself(...readings);
    },
  },
  {
    name: "key-set",
    seeds: () => [encodeKeySet(KEY_SET), encodeKeySet(writeOnlyKeySet(KEY_SET))],
    codes: DAMAGED,
    run: (input) =>
      requireThat(encodeKeySet(decodeKeySet(input)).equals(input), "it does not encode to the same"),
  },
  {
    name: "paper-key",
    seeds: () => [Buffer.from(encodePaperKey("ab".repeat(16), KEY_SET).join("\n")), Buffer.alloc(64, 1)],
    codes: ["USAGE", "REPOSITORY_VERSION"],
    run: (input) => {
      isPaperKey(input);
      return eachByItself(
        () => readSecretFile(input, "it"),
        () => decodePaperKey(input, "it"),
      );
    },
  },
  {
    name: "config",
    seeds: () =>
      [goldenFiles("plain"), goldenFiles("encrypted")].map((files) => files.get(CONFIG_NAME) as Buffer),
    codes: DAMAGED,
    run: (input) =>
      eachByItself(
        () => isConfigOf(decodeConfig(input), SEALER),
        () => isConfigOf(decodeConfig(printedAgain(input)), SEALER),
      ),
  },
  {
    name: "run-record",
    seeds: () => json(RUN_RECORD, { ...RUN_RECORD, kind: "prune", parent: RUN, checkpoints: [] }),
    codes: DAMAGED,
    run: async (input) => {
      const { backend, sealer } = sealed("run", `runs/${RUN}`, input);
      await readRuns(backend, sealer);
    },
  },
  {
    name: "gc-record",
    seeds: () => {
      const record = { format: 1, number: 1, kind: "mark", atMs: 5, packs: ["ab".repeat(32)], runs: ["a-b"] };
      return json(record, { ...record, kind: "sweep" }, { ...record, kind: "fence", voided: ["20260101"] });
    },
    codes: DAMAGED,
    run: async (input) => {
      const { backend, sealer } = sealed("gc", gcName(1), input);
      await readGcState(backend, sealer);
    },
  },
  {
    name: "forgotten",
    seeds: () => [
      new ByteWriter().varint(1_700_000_000_000).raw(Buffer.from("{}")).toBytes(),
      Buffer.from([0]),
    ],
    codes: DAMAGED,
    run: async (input) => await readForgotten(sealed("forgotten", FORGOTTEN_PREFIX + RUN, input), RUN),
  },
  {
    name: "checkpoint",
    seeds: () => [new ByteWriter().text("mail").raw(Buffer.from("{}")).toBytes()],
    codes: DAMAGED,
    run: async (input) => {
      const { backend, sealer } = sealed("checkpoint", `checkpoints/${RUN}`, input);
      await readCheckpoints(backend, sealer);
      await readCheckpoint(backend, sealer, RUN);
    },
  },
  {
    name: "tags",
    seeds: () =>
      json({ format: 1, backup: RUN, tags: ["a", "b"], hold: "why" }, { format: 1, backup: RUN, tags: [] }),
    codes: DAMAGED,
    run: async (input) => await readTags(sealed("tags", `tags/${RUN}`, input), RUN),
  },
  {
    name: "verified-times",
    seeds: () => [
      new ByteWriter()
        .varint(1)
        .varint(2)
        .raw(fixed(32))
        .varint(1_700_000_000)
        .raw(Buffer.alloc(32))
        .varint(0)
        .toBytes(),
    ],
    codes: DAMAGED,
    run: async (input) => {
      let lost = 0;
      const times = await VerifiedTimes.load(
        sealed("verified-times", VERIFIED_PREFIX + RUN, input) as never,
        () => {
          lost++;
        },
      );
      requireThat(lost <= 1, "lost twice");
      times.timeOf(PACK_ID, 2 ** 52);
    },
  },
];

/** One page of entries and its filter, as a segment of one pack has them. */
function segmentPlain(): { pages: Buffer; directory: Buffer }[] {
  return [...goldenFiles("plain")]
    .filter(([name]) => name === SEGMENT_NAME)
    .map(([, file]) => {
      const id = SEGMENT_ID;
      const header = file.subarray(0, SEGMENT_HEADER_BYTES);
      const footer = decodeSegmentEnds(id, header, file.subarray(-SEGMENT_FOOTER_BYTES), file.length);
      const end = footer.directoryOffset + footer.directoryBytes;
      const directory = SEALER.fileSeal(SEGMENT_PURPOSE, id).open(
        0,
        file.subarray(footer.directoryOffset, end),
      );
      return { pages: file.subarray(SEGMENT_HEADER_BYTES, footer.directoryOffset), directory };
    });
}

function printedAgain(input: Buffer): Buffer {
  try {
    return Buffer.from(`${JSON.stringify(JSON.parse(input.toString("utf8")), null, 2)}\n`);
  } catch {
    return input;
  }
}

/** With the checksum that anybody can make. */
function keyFileChecked(input: Buffer): Buffer {
  let fields: unknown;
  try {
    fields = JSON.parse(input.toString("utf8"));
  } catch {
    return input;
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) return input;
  const print = (check: string) => Buffer.from(`${JSON.stringify({ ...fields, check }, null, 2)}\n`);
  return print(createHash("sha256").update(print("")).digest().subarray(0, 16).toString("hex"));
}
