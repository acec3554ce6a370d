/** The secrets of an encrypted repository. Format: docs/formats/keys.md. How they are kept under a password: keys.ts. */
import { randomBytes } from "node:crypto";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { assert, CyrvaultError } from "../base/errors.ts";
import { agreementPublicKey, signingPublicKey } from "./agreement.ts";
import {
  type AgreementHalf,
  type Epoch,
  type KeyedSealContext,
  SECRET_BYTES,
  WRITER_ID_BYTES,
} from "./seal-context.ts";

const VERSION = 1;
const ENTRIES_MAX = 1000;
/** On disk: never renumber. 5 and 7 are the public halves of 4 and 6. */
const TAG = {
  idKey: 1,
  indexKey: 2,
  contentKey: 3,
  agreementKey: 4,
  agreementPublic: 5,
  signingKey: 6,
  signingPublic: 7,
} as const;
const READING: readonly number[] = [TAG.contentKey, TAG.agreementKey, TAG.signingKey];
const WRITE_ONLY: readonly number[] = [TAG.agreementPublic, TAG.signingPublic];

export interface KeySetEpoch extends Epoch {
  /** X25519 private key: opens what is sealed to its public half. */
  readonly agreementKey: Uint8Array;
}

/** Independent random secrets. Never written but wrapped. */
export interface KeySet {
  readonly idKey: Uint8Array;
  readonly indexKey: Uint8Array;
  /** Ascending by number, at least one. */
  readonly epochs: readonly KeySetEpoch[];
  /** Ed25519 private key (the seed of RFC 8032): with it, whoever may read vouches for something before those who may not. */
  readonly signingKey: Uint8Array;
}

/** What is left of a key set for those who may write and not read. */
export interface WriteOnlyKeySet {
  readonly idKey: Uint8Array;
  readonly indexKey: Uint8Array;
  /** Ascending by number, at least one: the last is sealed to. */
  readonly sealTo: readonly AgreementHalf[];
  /** Ed25519 public key. */
  readonly signingPublic: Uint8Array;
}

export type AnyKeySet = KeySet | WriteOnlyKeySet;

export function mayRead(keySet: AnyKeySet): keySet is KeySet {
  return "epochs" in keySet;
}

export function writeOnlyKeySet({ idKey, indexKey, epochs, signingKey }: KeySet): WriteOnlyKeySet {
  return {
    idKey,
    indexKey,
    sealTo: epochs.map(({ number, agreementKey }) => ({
      number,
      publicKey: Uint8Array.from(agreementPublicKey(agreementKey)),
    })),
    signingPublic: Uint8Array.from(signingPublicKey(signingKey)),
  };
}

export function newKeySet(random: (count: number) => Uint8Array = randomBytes): KeySet {
  const secret = () => Uint8Array.from(random(SECRET_BYTES));
  const [idKey, indexKey, contentKey, agreementKey, signingKey] = [
    secret(),
    secret(),
    secret(),
    secret(),
    secret(),
  ];
  return { idKey, indexKey, epochs: [{ number: 1, contentKey, agreementKey }], signingKey };
}

/** @param writerId - 16 bytes that stand in clear in what is written. */
export function sealContextOf(
  keySet: AnyKeySet,
  writerId: Uint8Array = randomBytes(WRITER_ID_BYTES),
): KeyedSealContext {
  assert(writerId.length === WRITER_ID_BYTES, "a writer id has 16 bytes");
  // Copies: a view into Node's shared pool would take the whole pool along to another thread.
  const { idKey, indexKey } = keySet;
  if (!mayRead(keySet)) {
    const sealTo = keySet.sealTo.at(-1);
    assert(sealTo !== undefined, "a key set without an epoch");
    const recall = Uint8Array.from(randomBytes(SECRET_BYTES));
    return {
      encrypted: true,
      idKey,
      indexKey,
      epochs: [],
      sealTo,
      recall,
      writerId: Uint8Array.from(writerId),
    };
  }
  const epochs = keySet.epochs.map(({ number, contentKey, agreementKey }) => ({
    number,
    contentKey,
    agreementKey,
  }));
  return { encrypted: true, idKey, indexKey, epochs, writerId: Uint8Array.from(writerId) };
}

export function encodeKeySet(keySet: AnyKeySet): Buffer {
  if (!mayRead(keySet)) return encodeWriteOnly(keySet);
  const writer = new ByteWriter().u8(VERSION).varint(3 + 2 * keySet.epochs.length);
  writer.u8(TAG.idKey).u32(0).raw(keySet.idKey);
  writer.u8(TAG.indexKey).u32(0).raw(keySet.indexKey);
  for (const { number, contentKey } of keySet.epochs) writer.u8(TAG.contentKey).u32(number).raw(contentKey);
  for (const { number, agreementKey } of keySet.epochs)
    writer.u8(TAG.agreementKey).u32(number).raw(agreementKey);
  writer.u8(TAG.signingKey).u32(0).raw(keySet.signingKey);
  return writer.toBytes();
}

function encodeWriteOnly({ idKey, indexKey, sealTo, signingPublic }: WriteOnlyKeySet): Buffer {
  const writer = new ByteWriter().u8(VERSION).varint(3 + sealTo.length);
  writer.u8(TAG.idKey).u32(0).raw(idKey);
  writer.u8(TAG.indexKey).u32(0).raw(indexKey);
  for (const { number, publicKey } of sealTo) writer.u8(TAG.agreementPublic).u32(number).raw(publicKey);
  return writer.u8(TAG.signingPublic).u32(0).raw(signingPublic).toBytes();
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`; `REPOSITORY_VERSION` for secrets that this version does not know. */
export function decodeKeySet(bytes: Uint8Array): AnyKeySet {
  const reader = new ByteReader(bytes, "key set");
  const version = reader.u8();
  if (version !== VERSION) throw unsupported(`version ${version}`);
  const entries = reader.varint(ENTRIES_MAX);
  const read: { readonly tag: number; readonly epoch: number; readonly secret: Uint8Array }[] = [];
  for (let i = 0; i < entries; i++) {
    const entry = {
      tag: reader.u8(),
      epoch: reader.u32(),
      secret: Uint8Array.from(reader.raw(SECRET_BYTES)),
    };
    const before = read.at(-1);
    const ascends =
      before === undefined ||
      entry.tag > before.tag ||
      (entry.tag === before.tag && entry.epoch > before.epoch);
    if (!ascends) throw reader.damaged("a secret stands twice or in the wrong place");
    read.push(entry);
  }
  reader.end();
  const known: readonly number[] = Object.values(TAG);
  for (const { tag } of read) if (!known.includes(tag)) throw unsupported(`a secret of kind ${tag}`);
  const isWriteOnly = read.some(({ tag }) => WRITE_ONLY.includes(tag));
  if (isWriteOnly && read.some(({ tag }) => READING.includes(tag)))
    throw reader.damaged("secrets of who may read beside those of who may only write");
  const ofTag = (wanted: number) => read.filter(({ tag }) => tag === wanted);
  const single = (wanted: number): Uint8Array => {
    const [only, ...more] = ofTag(wanted);
    if (only === undefined || only.epoch !== 0 || more.length > 0)
      throw reader.damaged("a secret is lacking or stands in the wrong place");
    return only.secret;
  };
  if (isWriteOnly) {
    const sealTo = ofTag(TAG.agreementPublic).map(({ epoch, secret }) => ({
      number: epoch,
      publicKey: secret,
    }));
    if (sealTo.length === 0 || sealTo[0]?.number === 0) throw reader.damaged("an epoch is lacking a secret");
    const signingPublic = single(TAG.signingPublic);
    return { idKey: single(TAG.idKey), indexKey: single(TAG.indexKey), sealTo, signingPublic };
  }
  const contentKeys = ofTag(TAG.contentKey);
  const agreementKeys = ofTag(TAG.agreementKey);
  if (contentKeys.length === 0 || contentKeys.length !== agreementKeys.length)
    throw reader.damaged("an epoch is lacking a secret");
  const epochs = contentKeys.map(({ epoch, secret }, i): KeySetEpoch => {
    const agreement = agreementKeys[i];
    if (epoch === 0 || agreement?.epoch !== epoch) throw reader.damaged("an epoch is lacking a secret");
    return { number: epoch, contentKey: secret, agreementKey: agreement.secret };
  });
  return {
    idKey: single(TAG.idKey),
    indexKey: single(TAG.indexKey),
    epochs,
    signingKey: single(TAG.signingKey),
  };
}

function unsupported(which: string): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_VERSION",
    `key set: ${which} is not known to this version of cyrvault`,
    { hint: "use the version of cyrvault that wrote it, or a newer one" },
  );
}
