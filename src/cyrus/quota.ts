/**
 * The content of one quota root: a file of the quotalegacy engine, or a value of quotas.db. Usage can be counted again
 * (`quota -f`), limits cannot. From cyrus-imapd, imap/quota_db.c: quota_parseval, quota_write (3.6.1); observed on 3.6.1.
 */
import { type ByteString, fromBytes, fromText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { type Dlist, type DlistEntry, parseDlist, printDlist } from "./dlist.ts";

export interface QuotaResource {
  /** Bytes for `S` and `AS`, a number of messages or folders for `M` and `NF`. */
  readonly used: bigint;
  /** KiB for `S` and `AS`, a number for the others. Undefined: no limit. */
  readonly limit?: bigint;
}

export interface Quota {
  /** By Cyrus's short names: `S` storage, `M` messages, `AS` annotation storage, `NF` folders. In the order of the file. */
  readonly resources: ReadonlyMap<string, QuotaResource>;
  /** 3.2 and newer. */
  readonly modseq?: bigint;
}

/**
 * Either form: the list of 2.5 and newer, or the two lines `used` and `limit` of before, which are storage.
 * @throws {CyrvaultError} `CYRUS_BAD_FORMAT`
 */
export function parseQuota(bytes: Uint8Array): Quota {
  return bytes[0] === 0x25 ? parseList(bytes) : parseLines(fromBytes(bytes));
}

function parseLines(text: ByteString): Quota {
  const match = /^(\d{1,20})[ \n](-?\d{1,19})\n?$/.exec(text);
  if (match === null) throw bad("neither a list nor the lines `used` and `limit`");
  const limit = BigInt(match[2] as string);
  const storage =
    limit < 0n ? { used: BigInt(match[1] as string) } : { used: BigInt(match[1] as string), limit };
  return { resources: new Map([["S", storage]]) };
}

function parseList(bytes: Uint8Array): Quota {
  const { value } = parseDlist(bytes, { what: "quota" });
  if (value.kind !== "pairs") throw bad("not a list of keys and values");
  const resources = new Map<string, QuotaResource>();
  let modseq: bigint | undefined;
  for (const { key, value: field } of value.entries) {
    if (field.kind === "list") {
      const [used, limit] = field.items;
      if (used === undefined) throw bad(`no usage for ${key}`);
      resources.set(
        key,
        limit === undefined ? { used: number(used) } : { used: number(used), limit: number(limit) },
      );
    } else if (key === "MODSEQ") modseq = number(field);
  }
  return modseq === undefined ? { resources } : { resources, modseq };
}

function number(value: Dlist): bigint {
  if (value.kind !== "string" || !/^\d{1,20}$/.test(value.value)) throw bad("a number was expected");
  return BigInt(value.value);
}

/** The form of 2.5 and newer, with its line end. */
export function encodeQuota(quota: Quota): Buffer {
  const entries: DlistEntry[] = [...quota.resources].map(([key, { used, limit }]) => ({
    key: fromText(key),
    value: { kind: "list", items: limit === undefined ? [text(used)] : [text(used), text(limit)] },
  }));
  if (quota.modseq !== undefined) entries.push({ key: fromText("MODSEQ"), value: text(quota.modseq) });
  return Buffer.concat([printDlist({ kind: "pairs", entries }), Buffer.from("\n")]);
}

function text(value: bigint): Dlist {
  return { kind: "string", value: fromText(String(value)) };
}

function bad(why: string): CyrvaultError {
  return new CyrvaultError("CYRUS_BAD_FORMAT", `quota: ${why}`);
}
