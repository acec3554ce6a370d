/**
 * How packs and sealed files begin: what it is, its id, and the envelope of its key. Format: docs/formats/keys.md.
 * The key is random and used for this one file; the envelope wraps it for those who may read.
 */
import { createHash, randomBytes } from "node:crypto";
import { ByteReader, ByteWriter, equalBytes } from "../base/bytes.ts";
import { assert, CyrvaultError } from "../base/errors.ts";
import { AGREED_BYTES, unwrapByAgreement, wrapForAgreement } from "./agreement.ts";
import { deriveKey, openBytes, type SealKey, sealBytes } from "./seal.ts";
import {
  type Epoch,
  type KeyedSealContext,
  SECRET_BYTES,
  type SealContext,
  WRITER_ID_BYTES,
} from "./seal-context.ts";

export const PACK_MAGIC = "CYRVPACK";
export const SEALED_FILE_MAGIC = "CYRVFILE";
const FORMAT_VERSION = 1;
const ID_BYTES = 32;
const CHECK_BYTES = 16;
/** Up to the wrapped key's length byte. */
const FIXED_BYTES = 8 + 1 + 2 + 1 + ID_BYTES + 4 + 1 + WRITER_ID_BYTES + 1;
const WRAPPED_BYTES_MAX = 255;
/** So many bytes of a file are enough to decode its header. */
export const HEADER_BYTES_MAX = FIXED_BYTES + WRAPPED_BYTES_MAX + CHECK_BYTES;

/** On disk: never renumber. */
const WRAP = { none: 0, contentKey: 1, agreement: 2, indexKey: 3 } as const;

/**
 * `content`: every writer seals it, who may read opens it. `vouched`: likewise, but who may only write cannot seal it.
 * `writers`: every writer seals and opens it.
 */
export type Readers = "content" | "vouched" | "writers";

export interface SealedHeader {
  /** The encoded bytes, exactly. */
  readonly header: Buffer;
  readonly kind: number;
  readonly id: Uint8Array;
  readonly epoch: number;
  readonly writerId: Uint8Array;
  /** `shut`: whoever decoded it may only write. */
  readonly key: SealKey | "shut";
  /** Sealed by somebody who may only write: nobody who may read vouches for what is in it. */
  readonly isUnvouched: boolean;
  /** Sealed by this machine, which may only write and remembers how to open it. Nobody else can make such a header. */
  readonly isRemembered: boolean;
}

export interface SealedHeaderOptions {
  readonly random?: ((count: number) => Uint8Array) | undefined;
  /** Default `content`. */
  readonly readers?: Readers;
  /** This machine will need to open it again, though it may only write. */
  readonly isRemembered?: boolean;
}

/** @param id - undefined: a new random one. */
export function encodeSealedHeader(
  context: SealContext,
  magic: string,
  kind: number,
  id: Uint8Array | undefined,
  { random = randomBytes, readers = "content", isRemembered = false }: SealedHeaderOptions = {},
): SealedHeader {
  const fileId = Uint8Array.from(id ?? random(ID_BYTES));
  const wrap = context.encrypted ? wrapFor(context, readers, fileId, random) : undefined;
  const remembers = isRemembered && context.encrypted && context.remembered !== undefined;
  const ours = wrap?.isRecalled === true ? recallFor(context, fileId, remembers) : undefined;
  const writerId = ours?.writerId ?? (context.encrypted ? context.writerId : new Uint8Array(WRITER_ID_BYTES));
  assert(fileId.length === ID_BYTES && writerId.length === WRITER_ID_BYTES, "ids of the wrong length");
  const wrappedBytes = wrap?.bytes ?? 0;
  const writer = new ByteWriter(HEADER_BYTES_MAX)
    .raw(Buffer.from(magic, "latin1"))
    .u8(FORMAT_VERSION)
    .u16(FIXED_BYTES + wrappedBytes + CHECK_BYTES)
    .u8(kind)
    .raw(fileId)
    .u32(wrap?.epoch ?? 0)
    .u8(wrap?.scheme ?? WRAP.none)
    .raw(writerId)
    .u8(wrappedBytes);
  const key = wrap === undefined ? undefined : Uint8Array.from(ours?.key ?? random(SECRET_BYTES));
  if (wrap !== undefined && key !== undefined) writer.raw(wrap.wrap(writer.toBytes(), key));
  writer.raw(checksum(writer.toBytes()));
  return {
    header: writer.toBytes(),
    kind,
    id: fileId,
    epoch: wrap?.epoch ?? 0,
    writerId,
    key,
    isUnvouched: wrap?.scheme === WRAP.agreement,
    isRemembered: remembers && ours !== undefined,
  };
}

/**
 * @param start - the file from its first byte: at least HEADER_BYTES_MAX of it, or all that there is.
 * @param what - names the file in errors.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`; `REPOSITORY_VERSION` for a sound header of a form we do not know.
 */
export function decodeSealedHeader(
  context: SealContext,
  magic: string,
  start: Uint8Array,
  what: string,
  readers: Readers = "content",
): SealedHeader {
  const reader = new ByteReader(start, what);
  if (reader.raw(8).toString("latin1") !== magic)
    throw reader.damaged("it does not begin as such a file does");
  const version = reader.u8();
  const length = reader.u16();
  if (length < FIXED_BYTES + CHECK_BYTES || length > start.length)
    throw reader.damaged("the header has an impossible length");
  // The checksum lies in the same place in every version: a flipped version byte is damage, not another version.
  const header = Buffer.from(start.subarray(0, length));
  const checked = header.subarray(0, length - CHECK_BYTES);
  if (!equalBytes(checksum(checked), header.subarray(length - CHECK_BYTES)))
    throw reader.damaged("the header's checksum does not fit");
  if (version !== FORMAT_VERSION) throw unsupported(what, `format version ${version}`);

  const kind = reader.u8();
  const id = Uint8Array.from(reader.raw(ID_BYTES));
  const epoch = reader.u32();
  const scheme = reader.u8();
  const writerId = Uint8Array.from(reader.raw(WRITER_ID_BYTES));
  const associated = header.subarray(0, FIXED_BYTES);
  const wrapped = reader.raw(reader.u8());
  if (reader.offset !== length - CHECK_BYTES) throw reader.damaged("the header has bytes too many");
  let isRemembered = false;
  const key = unwrap();
  return { header, kind, id, epoch, writerId, key, isUnvouched: scheme === WRAP.agreement, isRemembered };

  function unwrap(): SealKey | "shut" {
    if (!context.encrypted) {
      if (scheme !== WRAP.none) throw reader.damaged("it is encrypted, the repository is not");
      return undefined;
    }
    // Without this an attacker could put a file of his own making, checksums and all, in place of a sealed one.
    if (scheme === WRAP.none) throw reader.damaged("it is not encrypted, the repository is");
    const key = unwrapKeyed(context);
    if (key === "shut") return key;
    if (key.length !== SECRET_BYTES) throw reader.damaged("the wrapped key has the wrong length");
    return Uint8Array.from(key);
  }

  function unwrapKeyed(keyed: KeyedSealContext): Buffer | "shut" {
    if (scheme !== WRAP.contentKey && scheme !== WRAP.agreement && scheme !== WRAP.indexKey)
      throw unsupported(what, `key wrap scheme ${scheme}`);
    // Every writer has the index key: with it nobody may make what only readers of the content can vouch for.
    if ((scheme === WRAP.indexKey) !== (readers === "writers"))
      throw reader.damaged("its key is wrapped for others than such a file is for");
    if (scheme === WRAP.indexKey) {
      if (epoch !== 0) throw reader.damaged("an epoch where there is none");
      return openBytes(wrappingKey(keyed.indexKey, id), 0, associated, wrapped, `${what}: wrapped key`);
    }
    if (scheme === WRAP.agreement && readers === "vouched")
      throw reader.damaged("it was sealed with a key that may only write, and is not for such a one");
    if (keyed.sealTo !== undefined) {
      const ours = [true, false].map((kept) => ({ kept, ...recallFor(keyed, id, kept) }));
      const found = ours.find((one) => one.writerId !== undefined && equalBytes(writerId, one.writerId));
      isRemembered = found?.kept === true;
      return found?.key ?? "shut";
    }
    const holder = keyed.epochs.find(({ number }) => number === epoch);
    if (holder === undefined) throw reader.damaged(`sealed in epoch ${epoch}, for which there is no key`);
    if (scheme === WRAP.contentKey)
      return openBytes(wrappingKey(holder.contentKey, id), 0, associated, wrapped, `${what}: wrapped key`);
    if (holder.agreementKey === undefined)
      throw reader.damaged(`sealed in epoch ${epoch}, of which a key is lacking`);
    return unwrapByAgreement(holder.agreementKey, id, associated, wrapped, what);
  }
}

interface Wrap {
  readonly scheme: number;
  readonly epoch: number;
  /** Of the wrapped key. */
  readonly bytes: number;
  /** The file's key comes from `recall`, if there is such. */
  readonly isRecalled: boolean;
  wrap(associated: Uint8Array, key: Uint8Array): Buffer;
}

function wrapFor(
  context: KeyedSealContext,
  readers: Readers,
  id: Uint8Array,
  random: (count: number) => Uint8Array,
): Wrap {
  const { sealTo, epochs, indexKey } = context;
  if (readers === "writers") return symmetric(WRAP.indexKey, 0, indexKey);
  if (sealTo === undefined) {
    const { number, contentKey } = currentEpoch(epochs);
    return symmetric(WRAP.contentKey, number, contentKey);
  }
  if (readers === "vouched") throw writeOnly("such a file cannot be written");
  const { number, publicKey } = sealTo;
  return {
    scheme: WRAP.agreement,
    epoch: number,
    bytes: AGREED_BYTES,
    isRecalled: true,
    wrap: (associated, key) => wrapForAgreement(publicKey, random(SECRET_BYTES), id, associated, key),
  };

  function symmetric(scheme: number, epoch: number, secret: Uint8Array): Wrap {
    const bytes = SECRET_BYTES + CHECK_BYTES;
    const wrapping = wrappingKey(secret, id);
    return {
      scheme,
      epoch,
      bytes,
      isRecalled: false,
      wrap: (associated, key) => sealBytes(wrapping, 0, associated, key),
    };
  }
}

/**
 * The key of a file that who may only write has sealed and can open again, and by what he knows it: nobody else can tell
 * a remembered file's writer id from a random one.
 */
function recallFor(
  context: SealContext,
  id: Uint8Array,
  isRemembered: boolean,
): { readonly writerId: Uint8Array; readonly key: Buffer } | undefined {
  if (!context.encrypted) return undefined;
  const { recall, remembered, writerId } = context;
  if (isRemembered) {
    if (remembered === undefined) return undefined;
    const mark = deriveKey(remembered, "cyrvault remembered", "writer", id);
    return {
      writerId: Uint8Array.from(mark.subarray(0, WRITER_ID_BYTES)),
      key: deriveKey(remembered, "cyrvault remembered", "key", id),
    };
  }
  return recall === undefined ? undefined : { writerId, key: deriveKey(recall, "cyrvault recall", "", id) };
}

function currentEpoch(epochs: readonly Epoch[]): Epoch {
  let current: Epoch | undefined;
  for (const epoch of epochs) if (current === undefined || epoch.number > current.number) current = epoch;
  assert(current !== undefined, "a key set without an epoch");
  return current;
}

function wrappingKey(secret: Uint8Array, id: Uint8Array): Buffer {
  return deriveKey(secret, "cyrvault wrap", "", id);
}

function checksum(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest().subarray(0, CHECK_BYTES);
}

/** @throws {CyrvaultError} `KEY_WRITE_ONLY`. */
export function requireOpen(key: SealKey | "shut", what: string): SealKey {
  if (key === "shut") throw writeOnly(`${what} cannot be read`);
  return key;
}

export function writeOnly(what: string): CyrvaultError {
  return new CyrvaultError("KEY_WRITE_ONLY", `${what}: the key in use may only write`, {
    hint: "use a password or key file that may read",
  });
}

function unsupported(what: string, which: string): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_VERSION",
    `${what}: ${which} is not known to this version of cyrvault`,
    { hint: "use the version of cyrvault that wrote it, or a newer one" },
  );
}
