/** Ways to cut a small file into what is stored. */
import { basename } from "node:path";
import { FastCdc } from "../../src/chunker/fastcdc.ts";
import { chunkSmallFile } from "../../src/chunker/small-file.ts";
import { isTwoskip, pairTwoskip } from "../../src/chunker/twoskip-pairs.ts";
import { columnChunks } from "./index-columns.ts";

export interface Cutting {
  readonly name: string;
  /** What is stored of the file; need not be its bytes, as long as they follow from it. */
  readonly chunks: (path: string, bytes: Buffer) => Iterable<Uint8Array>;
}

const KIB = 1024;

export const NOW: Cutting = {
  name: "as it is stored",
  *chunks(path, bytes) {
    const read = (offset: number, length: number): Buffer => bytes.subarray(offset, offset + length);
    for (const chunk of chunkSmallFile(basename(path), bytes.length, read)) {
      if (!("lasting" in chunk)) yield chunk;
      else {
        yield chunk.lasting;
        yield chunk.changing;
      }
    }
  },
};

/** But for what no object can hold. */
const WHOLE_BYTES_MAX = 8 * 1024 * KIB;
export const WHOLE: Cutting = {
  name: "whole",
  *chunks(_path, bytes) {
    for (let start = 0; start < bytes.length; start += WHOLE_BYTES_MAX)
      yield bytes.subarray(start, start + WHOLE_BYTES_MAX);
  },
};

export function byContent(averageKib: number, wholeKib = averageKib): Cutting {
  const bytesAvg = averageKib * KIB;
  const cdc = new FastCdc({ bytesMin: bytesAvg / 4, bytesAvg, bytesMax: bytesAvg * 4 });
  return {
    name: `FastCDC, ${averageKib} KiB on average, whole up to ${wholeKib}`,
    *chunks(_path, bytes) {
      if (bytes.length <= wholeKib * KIB) {
        yield bytes;
        return;
      }
      for (let start = 0; start < bytes.length; ) {
        const cut = cdc.findCut(bytes, start, start, bytes.length);
        const end = cut < 0 ? bytes.length : cut;
        yield bytes.subarray(start, end);
        start = end;
      }
    },
  };
}

export function byPages(kib: number): Cutting {
  return {
    name: `pages of ${kib} KiB`,
    *chunks(_path, bytes) {
      for (let start = 0; start < bytes.length; start += kib * KIB)
        yield bytes.subarray(start, start + kib * KIB);
    },
  };
}

/** As a twoskip database is stored: its links apart from its records. */
export function byPairs(averageKib: number): Cutting {
  const bytesAvg = averageKib * KIB;
  return {
    name: `links apart, ${averageKib} KiB on average, whole up to 64`,
    *chunks(_path, bytes) {
      if (bytes.length <= 64 * KIB || !isTwoskip(bytes)) yield bytes;
      else
        for (const { lasting, changing } of pairTwoskip([bytes], {
          bytesMin: bytesAvg / 4,
          bytesAvg,
          bytesMax: bytesAvg * 4,
        })) {
          yield lasting;
          yield changing;
        }
    },
  };
}

export interface RecordGroups {
  readonly min: number;
  readonly avg: number;
  readonly max: number;
}

export const LARGE_GROUPS: RecordGroups = { min: 64, avg: 256, max: 1024 };

/** The records of a cyrus.index as they are, in groups that end where a UID says so. */
export function byRecords(groups: RecordGroups, wholeKib: number): Cutting {
  return {
    name: `records, ${groups.avg} on average, whole up to ${wholeKib} KiB`,
    *chunks(_path, bytes) {
      if (bytes.length <= wholeKib * KIB) {
        yield bytes;
        return;
      }
      const header = bytes.readUInt32BE(12);
      const recordBytes = bytes.readUInt32BE(16);
      yield bytes.subarray(0, header);
      for (const [from, to] of recordGroups(bytes, groups))
        yield bytes.subarray(header + from * recordBytes, header + to * recordBytes);
    },
  };
}

/** Fields by column, CRCs left out. `split`: what seldom changes apart from what does. */
export function byColumns(groups: RecordGroups, split: boolean): Cutting {
  const what = split ? "columns, lasting and changing fields apart" : "columns";
  return {
    name: `${what}, ${groups.avg} records on average`,
    chunks: (_path, bytes) => columnChunks(bytes, recordGroups(bytes, groups), split),
  };
}

export function recordGroups(bytes: Buffer, { min, avg, max }: RecordGroups): (readonly [number, number])[] {
  const header = bytes.readUInt32BE(12);
  const recordBytes = bytes.readUInt32BE(16);
  const count = Math.floor((bytes.length - header) / recordBytes);
  const below = Math.floor(2 ** 32 / (avg - min));
  const groups: (readonly [number, number])[] = [];
  let from = 0;
  for (let record = 0; record < count; record++) {
    const length = record - from;
    if (
      length >= max ||
      (length >= min && hashUid(bytes.readUInt32BE(header + record * recordBytes)) < below)
    ) {
      groups.push([from, record]);
      from = record;
    }
  }
  if (from < count) groups.push([from, count]);
  return groups;
}

function hashUid(uid: number): number {
  let hash = uid;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
