/**
 * Opens a database file of Cyrus by what it is, not by what imapd.conf says: a file keeps its engine when the
 * setting changes (`cyrusdb_autoconvert` is off by default).
 *
 * Magics: lib/cyrusdb.c, cyrusdb_detect (3.6.1) for skiplist and twoskip; doc/README.twom.md (3.13) for twom;
 * the engines' own headers for the rest.
 */
import type { RecordSource } from "./database-record.ts";
import { readFlat } from "./flat.ts";
import { isSkiplist, readSkiplist } from "./skiplist.ts";
import { isTwoskip, readTwoskip } from "./twoskip.ts";

export type DatabaseEngine =
  | "twoskip"
  | "skiplist"
  | "flat"
  | "twom"
  | "zeroskip"
  | "lmdb"
  | "berkeley"
  | "sqlite"
  /** No bytes at all: legal for flat, and means no records. */
  | "empty"
  | "unknown";

export type DatabaseReading =
  | ({ readonly readable: true; readonly engine: "twoskip" | "skiplist" | "flat" | "empty" } & RecordSource)
  | {
      readonly readable: false;
      readonly engine: "twom" | "zeroskip" | "lmdb" | "berkeley" | "sqlite" | "unknown";
    };

/** Enough of a file's beginning for `sniffEngine`, unless it is flat. */
export const SNIFF_BYTES = 4096;

/** Btree, hash, queue, heap: at offset 12, in the byte order of the machine that made the file. */
const BERKELEY_MAGICS: ReadonlySet<number> = new Set([0x053162, 0x061561, 0x042253, 0x074582]);
const LMDB_MAGIC = 0xbeef_c0de;

/** @param head - the file, or its first SNIFF_BYTES. */
export function sniffEngine(head: Uint8Array): DatabaseEngine {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  if (bytes.length === 0) return "empty";
  if (isTwoskip(bytes)) return "twoskip";
  if (isSkiplist(bytes)) return "skiplist";
  const start = bytes.toString("latin1", 0, 16);
  if (start.startsWith("\xa1\x02\x8b\x0dtwomfile")) return "twom";
  if (start.startsWith("\xa1\x02\x8b\x0dzeroskip") || start.startsWith("ZEROSKIP")) return "zeroskip";
  if (start.startsWith("\xa1\x02\x8b\x0d")) return "unknown";
  if (start === "SQLite format 3\0") return "sqlite";
  if (bytes.length >= 20) {
    if (BERKELEY_MAGICS.has(bytes.readUInt32LE(12)) || BERKELEY_MAGICS.has(bytes.readUInt32BE(12)))
      return "berkeley";
    if (bytes.readUInt32LE(16) === LMDB_MAGIC || bytes.readUInt32BE(16) === LMDB_MAGIC) return "lmdb";
  }
  return looksFlat(bytes) ? "flat" : "unknown";
}

/**
 * @param file - the whole file. `records` are views into it: it must not change while they are in use.
 * @throws {CyrvaultError} `CYRUS_BAD_FORMAT`: the magic is there, the header is not. Anything less is in `damage`.
 */
export function readDatabase(file: Uint8Array): DatabaseReading {
  const engine = sniffEngine(file);
  switch (engine) {
    case "twoskip":
      return { readable: true, engine, ...readTwoskip(file) };
    case "skiplist":
      return { readable: true, engine, ...readSkiplist(file) };
    case "flat":
    case "empty":
      return { readable: true, engine, ...readFlat(file) };
    default:
      return { readable: false, engine };
  }
}

/** The first line has a TAB, and there is no NUL: flat files escape those. */
function looksFlat(bytes: Buffer): boolean {
  const head = bytes.subarray(0, SNIFF_BYTES);
  if (head.includes(0)) return false;
  const lineEnd = head.indexOf(0x0a);
  return head.subarray(0, lineEnd < 0 ? head.length : lineEnd).includes(0x09);
}
