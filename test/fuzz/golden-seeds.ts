/** What the golden repository consists of, taken apart: seeds for the parsers of our own formats. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MemoryBackend } from "../../src/backend/memory.ts";
import { ByteReader, ByteWriter } from "../../src/base/bytes.ts";
import { CODEC, decompress } from "../../src/store/codec.ts";
import { decodePackFooter, FOOTER_BYTES } from "../../src/store/pack-footer.ts";
import { objectsInBlock, openPack, scanPack } from "../../src/store/pack-reader.ts";
import { PackSeal } from "../../src/store/pack-seal.ts";
import { PACKS_PREFIX, parsePackName } from "../../src/store/pack-types.ts";
import { UNENCRYPTED } from "../../src/store/seal-context.ts";

const GOLDEN = join(import.meta.dirname, "../golden/v1");
const OBJECT_BYTES_MAX = 128 * 1024;
/** Of each sort. */
const SEEDS_MAX = 40;

export interface GoldenSeeds {
  readonly backend: MemoryBackend;
  /** Plaintexts, columns not compressed. */
  readonly packDirectories: readonly Buffer[];
  readonly manifestObjects: readonly Buffer[];
  readonly metaObjects: readonly Buffer[];
  /** Head and tail of messages. */
  readonly messages: readonly { readonly head: Buffer; readonly tail: Buffer }[];
  readonly dataObjects: readonly Buffer[];
}

/** Below a golden repository, by their names in it. */
export function goldenFiles(kind: "plain" | "encrypted"): Map<string, Buffer> {
  const root = join(GOLDEN, kind, "repository");
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(root.length + 1), readFileSync(path));
  }
  return files;
}

let made: Promise<GoldenSeeds> | undefined;

export function goldenSeeds(): Promise<GoldenSeeds> {
  made ??= takeApart();
  return made;
}

async function takeApart(): Promise<GoldenSeeds> {
  const files = goldenFiles("plain");
  const backend = new MemoryBackend(files);
  const packDirectories: Buffer[] = [];
  const objects: Record<"data" | "message" | "meta" | "manifest", { head: Buffer; tail: Buffer }[]> = {
    data: [],
    message: [],
    meta: [],
    manifest: [],
  };
  for (const [name, bytes] of files) {
    const packId = name.startsWith(PACKS_PREFIX) ? parsePackName(name) : undefined;
    if (packId === undefined) continue;
    const pack = await openPack(backend, packId, UNENCRYPTED);
    if (pack === undefined) continue;
    packDirectories.push(directoryOf(PackSeal.open(UNENCRYPTED, packId, bytes), bytes, name));
    for await (const scanned of scanPack(backend, pack)) {
      if (!("raw" in scanned)) continue;
      for (const { kind, head, tail } of objectsInBlock(pack.directory, scanned.block, scanned.raw)) {
        const some = objects[kind];
        if (some.length < 400 && head.length + tail.length <= OBJECT_BYTES_MAX)
          some.push({ head: Buffer.from(head), tail: Buffer.from(tail) });
      }
    }
  }
  const heads = (some: readonly { head: Buffer }[]) => some.map(({ head }) => head);
  return {
    backend,
    packDirectories,
    manifestObjects: heads(objects.manifest),
    metaObjects: heads(objects.meta),
    messages: objects.message.slice(0, SEEDS_MAX),
    dataObjects: heads(objects.data).slice(0, SEEDS_MAX),
  };
}

function directoryOf(seal: PackSeal, bytes: Buffer, name: string): Buffer {
  const end = bytes.length - FOOTER_BYTES;
  const { directoryOffset } = decodePackFooter(seal.header, bytes.subarray(end), bytes.length, name);
  const outer = new ByteReader(
    seal.openDirectory(directoryOffset, bytes.subarray(directoryOffset, end)),
    name,
  );
  const codec = outer.u8();
  const rawLength = outer.u32();
  const columns = decompress(codec, outer.raw(outer.u32()), rawLength);
  const writer = new ByteWriter().u8(CODEC.none).u32(columns.length).u32(columns.length).raw(columns);
  return writer.raw(outer.raw(outer.remaining)).toBytes();
}
