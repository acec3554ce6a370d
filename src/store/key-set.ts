/** The secrets of an encrypted repository. Format: docs/formats/keys.md. How they are kept under a password: keys.ts. */
import { randomBytes } from "node:crypto";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { assert, CyrvaultError } from "../base/errors.ts";
import { type Epoch, type KeyedSealContext, SECRET_BYTES, WRITER_ID_BYTES } from "./seal-context.ts";

const VERSION = 1;
const ENTRIES_MAX = 1000;
/** On disk: never renumber. 4 and 5 are reserved for X25519. */
const TAG = { idKey: 1, indexKey: 2, contentKey: 3 } as const;

/** Independent random secrets. Never written but wrapped. */
export interface KeySet {
  readonly idKey: Uint8Array;
  readonly indexKey: Uint8Array;
  /** Ascending by number, at least one. */
  readonly epochs: readonly Epoch[];
}

export function newKeySet(random: (count: number) => Uint8Array = randomBytes): KeySet {
  const secret = () => Uint8Array.from(random(SECRET_BYTES));
  return { idKey: secret(), indexKey: secret(), epochs: [{ number: 1, contentKey: secret() }] };
}

/** @param writerId - 16 bytes that stand in clear in what is written. */
export function sealContextOf(
  keySet: KeySet,
  writerId: Uint8Array = randomBytes(WRITER_ID_BYTES),
): KeyedSealContext {
  assert(writerId.length === WRITER_ID_BYTES, "a writer id has 16 bytes");
  // Copies: a view into Node's shared pool would take the whole pool along to another thread.
  return { encrypted: true, ...keySet, writerId: Uint8Array.from(writerId) };
}

export function encodeKeySet(keySet: KeySet): Buffer {
  const writer = new ByteWriter().u8(VERSION).varint(2 + keySet.epochs.length);
  writer.u8(TAG.idKey).u32(0).raw(keySet.idKey);
  writer.u8(TAG.indexKey).u32(0).raw(keySet.indexKey);
  for (const { number, contentKey } of keySet.epochs) writer.u8(TAG.contentKey).u32(number).raw(contentKey);
  return writer.toBytes();
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`; `REPOSITORY_VERSION` for secrets that this version does not know. */
export function decodeKeySet(bytes: Uint8Array): KeySet {
  const reader = new ByteReader(bytes, "key set");
  const version = reader.u8();
  if (version !== VERSION) throw unsupported(`version ${version}`);
  const entries = reader.varint(ENTRIES_MAX);
  let idKey: Uint8Array | undefined;
  let indexKey: Uint8Array | undefined;
  const epochs: Epoch[] = [];
  for (let i = 0; i < entries; i++) {
    const tag = reader.u8();
    const number = reader.u32();
    const secret = Uint8Array.from(reader.raw(SECRET_BYTES));
    if (tag === TAG.idKey && idKey === undefined && number === 0) idKey = secret;
    else if (tag === TAG.indexKey && indexKey === undefined && number === 0) indexKey = secret;
    else if (tag === TAG.contentKey && number > (epochs.at(-1)?.number ?? 0))
      epochs.push({ number, contentKey: secret });
    else if (tag > TAG.contentKey) throw unsupported(`a secret of kind ${tag}`);
    else throw reader.damaged("a secret stands twice or in the wrong place");
  }
  reader.end();
  if (idKey === undefined || indexKey === undefined || epochs.length === 0)
    throw reader.damaged("a secret is lacking");
  return { idKey, indexKey, epochs };
}

function unsupported(which: string): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_VERSION",
    `key set: ${which} is not known to this version of cyrvault`,
    { hint: "use the version of cyrvault that wrote it, or a newer one" },
  );
}
