/**
 * Headers of a tar archive in the pax format of POSIX.1-2001 (IEEE Std 1003.1, `pax`, "ustar Interchange Format" and
 * "pax Extended Header"): a ustar block, and before it a block of records for what that has no room for. Pure.
 */
import { type ByteString, toBytes } from "../base/byte-string.ts";
import { assert } from "../base/errors.ts";

export type TarType = "file" | "directory" | "symlink" | "hard-link";

export interface TarEntry {
  /** Relative, without a slash at its end. */
  readonly path: ByteString;
  readonly type: TarType;
  /** Permission bits alone. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Undefined where none is known: then the numbers count. */
  readonly user: string | undefined;
  readonly group: string | undefined;
  /** Bytes that follow: 0 for anything but files. */
  readonly size: number;
  readonly mtimeNs: bigint;
  /** Of a symlink: its target; of a hard link: the path of an entry before it. */
  readonly link?: ByteString;
}

export const TAR_BLOCK_BYTES = 512;

const TYPE_FLAGS: Readonly<Record<TarType, string>> = {
  file: "0",
  "hard-link": "1",
  symlink: "2",
  directory: "5",
};
const NAME_BYTES = 100;
/** With a zero behind it, as readers of old expect. */
const OWNER_NAME_BYTES = 31;
const NS = 1_000_000_000n;

/** Whole blocks: one, or those of the records and then one. */
export function tarHeader(entry: TarEntry): Buffer {
  const path = (entry.type === "directory" ? `${entry.path}/` : entry.path) as ByteString;
  const link = entry.link ?? ("" as ByteString);
  const records = recordsOf(entry, path, link);
  const seconds = floorSeconds(entry.mtimeNs);
  const main = ustarBlock({
    ...entry,
    path,
    link,
    user: shortName(entry.user),
    group: shortName(entry.group),
    flag: TYPE_FLAGS[entry.type],
    seconds: seconds < 0n ? 0 : Number(seconds),
  });
  if (records.length === 0) return main;
  const extended = ustarBlock({
    path: `PaxHeaders/${path.slice(-(NAME_BYTES - 12))}`.replace(/[^\x20-\x7e]/g, "_") as ByteString,
    link: "" as ByteString,
    mode: 0o600,
    uid: 0,
    gid: 0,
    user: "",
    group: "",
    size: records.length,
    seconds: 0,
    flag: "x",
  });
  return Buffer.concat([extended, records, Buffer.alloc(paddingAfter(records.length)), main]);
}

/** Zeros up to the next block. */
export function paddingAfter(bytes: number): number {
  return (TAR_BLOCK_BYTES - (bytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

function recordsOf(entry: TarEntry, path: ByteString, link: ByteString): Buffer {
  const records: Buffer[] = [];
  const add = (key: string, value: string | Buffer): void => {
    records.push(paxRecord(key, Buffer.from(value)));
  };
  const names: [string, ByteString][] = [];
  if (!fits(path)) names.push(["path", path]);
  if (!fits(link)) names.push(["linkpath", link]);
  // It goes before the names that it speaks of, and holds for all of them; what is ASCII is the same in both.
  if (names.some(([, name]) => !isUtf8(name))) add("hdrcharset", "BINARY");
  for (const [key, name] of names) add(key, toBytes(name));
  if (entry.user !== undefined && shortName(entry.user) !== entry.user) add("uname", entry.user);
  if (entry.group !== undefined && shortName(entry.group) !== entry.group) add("gname", entry.group);
  if (!isOctal(entry.uid, 7)) add("uid", String(entry.uid));
  if (!isOctal(entry.gid, 7)) add("gid", String(entry.gid));
  if (!isOctal(entry.size, 11)) add("size", String(entry.size));
  const seconds = floorSeconds(entry.mtimeNs);
  if (seconds * NS !== entry.mtimeNs || seconds < 0n || !isOctal(Number(seconds), 11))
    add("mtime", decimalSeconds(entry.mtimeNs));
  return Buffer.concat(records);
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
export function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.byteLength(key) + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from("\n")]);
}

interface UstarFields {
  readonly path: ByteString;
  readonly link: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly user: string;
  readonly group: string;
  readonly size: number;
  readonly seconds: number;
  readonly flag: string;
}

function ustarBlock(fields: UstarFields): Buffer {
  assert((fields.mode & ~0o7777) === 0, "a mode of more than permission bits");
  const block = Buffer.alloc(TAR_BLOCK_BYTES);
  const octal = (value: number, offset: number, digits: number): void => {
    // What does not fit is in a record, which counts more than this field.
    const shown = isOctal(value, digits) ? value : 0;
    block.write(shown.toString(8).padStart(digits, "0"), offset, "latin1");
  };
  block.write(fields.path.slice(0, NAME_BYTES), 0, "latin1");
  octal(fields.mode, 100, 7);
  octal(fields.uid, 108, 7);
  octal(fields.gid, 116, 7);
  octal(fields.size, 124, 11);
  octal(fields.seconds, 136, 11);
  block.fill(0x20, 148, 156);
  block.write(fields.flag, 156, "latin1");
  block.write(fields.link.slice(0, NAME_BYTES), 157, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  block.write(fields.user, 265, "latin1");
  block.write(fields.group, 297, "latin1");
  octal(0, 329, 7);
  octal(0, 337, 7);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** Names that are no ASCII mean something only with a character set: they go into records. */
function fits(name: ByteString): boolean {
  return name.length <= NAME_BYTES && /^[\x01-\x7f]*$/.test(name);
}

function shortName(name: string | undefined): string {
  return name !== undefined && name.length <= OWNER_NAME_BYTES && /^[\x20-\x7e]*$/.test(name) ? name : "";
}

function isUtf8(name: ByteString): boolean {
  const bytes = toBytes(name);
  return Buffer.from(bytes.toString("utf8"), "utf8").equals(bytes);
}

function isOctal(value: number, digits: number): boolean {
  return value >= 0 && value < 8 ** digits;
}

function floorSeconds(ns: bigint): bigint {
  const seconds = ns / NS;
  return seconds * NS > ns ? seconds - 1n : seconds;
}

/** `-1.500000000` is one and a half seconds before 1970. */
function decimalSeconds(ns: bigint): string {
  const [sign, size] = ns < 0n ? ["-", -ns] : ["", ns];
  const fraction = size % NS;
  const digits = fraction === 0n ? "" : `.${String(fraction).padStart(9, "0")}`;
  return `${sign}${size / NS}${digits}`;
}
