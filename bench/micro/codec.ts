/**
 * What each codec and level makes of the blocks of a repository, and what it costs: `npx tsx bench/micro/codec.ts
 * REPOSITORY [MB]` (unencrypted). Processor time, not wall time: the figures hold on a busy machine too.
 */
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateRawSync,
  inflateRawSync,
} from "node:zlib";
import { LocalBackend } from "../../src/backend/local.ts";
import { openPack, scanPack } from "../../src/store/pack-reader.ts";
import { PACKS_PREFIX, parsePackName } from "../../src/store/pack-types.ts";
import { UNENCRYPTED } from "../../src/store/seal-context.ts";

const [, , repository = "", megabytes = "64"] = process.argv;
const backend = new LocalBackend(repository);

interface Sums {
  raw: number;
  stored: number;
  packSeconds: number;
  openSeconds: number;
}

const CODECS: Readonly<Record<string, readonly [(raw: Buffer) => Buffer, (stored: Buffer) => Buffer]>> = {
  "brotli-1": [brotli(1), (stored) => brotliDecompressSync(stored)],
  "brotli-2": [brotli(2), (stored) => brotliDecompressSync(stored)],
  "brotli-3": [brotli(3), (stored) => brotliDecompressSync(stored)],
  "brotli-4": [brotli(4), (stored) => brotliDecompressSync(stored)],
  "brotli-5": [brotli(5), (stored) => brotliDecompressSync(stored)],
  "deflate-1": [(raw) => deflateRawSync(raw, { level: 1 }), (stored) => inflateRawSync(stored)],
  "deflate-6": [(raw) => deflateRawSync(raw, { level: 6 }), (stored) => inflateRawSync(stored)],
};

function brotli(quality: number): (raw: Buffer) => Buffer {
  return (raw) =>
    brotliCompressSync(raw, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: quality,
        [constants.BROTLI_PARAM_LGWIN]: 22,
        [constants.BROTLI_PARAM_SIZE_HINT]: raw.length,
      },
    });
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Blocks by what is in them: mail, parts, manifest and small files. Dense ones (codec 0) are left out. */
async function* blocks(): AsyncGenerator<{ kind: string; raw: Buffer }> {
  for await (const { name } of backend.list(PACKS_PREFIX)) {
    const id = parsePackName(name);
    const pack = id === undefined ? undefined : await openPack(backend, id, UNENCRYPTED);
    if (pack === undefined) continue;
    for await (const block of scanPack(backend, pack)) {
      if (!("raw" in block) || block.raw === undefined) continue;
      const { directory } = pack;
      if (directory.blockAt(block.block).codec === 0) continue;
      yield { kind: directory.kindAt(directory.firstOrdinal(block.block)), raw: Buffer.from(block.raw) };
    }
  }
}

const sums = new Map<string, Sums>();
const seen = new Map<string, number>();
for await (const { kind, raw } of blocks()) {
  const before = seen.get(kind) ?? 0;
  if (before > Number(megabytes) * 1e6) continue;
  seen.set(kind, before + raw.length);
  for (const [name, [pack, open]] of Object.entries(CODECS)) {
    const began = cpuSeconds();
    const stored = pack(raw);
    const packed = cpuSeconds();
    open(stored);
    const opened = cpuSeconds();
    const key = `${kind}\t${name}`;
    const sum = sums.get(key) ?? { raw: 0, stored: 0, packSeconds: 0, openSeconds: 0 };
    sum.raw += raw.length;
    sum.stored += stored.length;
    sum.packSeconds += packed - began;
    sum.openSeconds += opened - packed;
    sums.set(key, sum);
  }
}
console.log("kind\tcodec\tMB\tratio\tpack MB/s\topen MB/s");
for (const [key, { raw, stored, packSeconds, openSeconds }] of [...sums].sort()) {
  const rates = [raw / 1e6 / packSeconds, raw / 1e6 / openSeconds].map((rate) => rate.toFixed(0));
  console.log(`${key}\t${(raw / 1e6).toFixed(1)}\t${(raw / stored).toFixed(3)}\t${rates.join("\t")}`);
}
await backend.close();
