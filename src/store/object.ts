/** What the store holds: objects, each found by the (keyed) SHA-256 of its plaintext. */
import type { ByteString } from "../base/byte-string.ts";

/**
 * The kind is part of what is hashed (one domain byte before the plaintext): a mail may have another stored
 * mail as its attachment, and the two must not share an id.
 */
export type ObjectKind = "data" | "message" | "meta" | "manifest";

/** Domain bytes, on disk: never renumber. 0 is invalid. */
export const KIND_BYTES: Readonly<Record<ObjectKind, number>> = { data: 1, message: 2, meta: 3, manifest: 4 };

export const OBJECT_ID_BYTES = 32;

/** 32 bytes. Not to be confused with a message GUID, which is Cyrus's SHA-1 of the message file. */
export type ObjectId = Uint8Array & { readonly [objectId]: true };
declare const objectId: unique symbol;

/** A key for maps and sets. */
export function idKey(id: ObjectId): ByteString {
  return Buffer.from(id.buffer, id.byteOffset, OBJECT_ID_BYTES).toString("latin1") as ByteString;
}

export function asObjectId(bytes: Uint8Array): ObjectId {
  if (bytes.length !== OBJECT_ID_BYTES)
    throw new RangeError(`an object id has 32 bytes, not ${bytes.length}`);
  return bytes as ObjectId;
}

/**
 * An object in the form in which a pack stores it. `data`, `meta` and `manifest` objects: the plaintext in
 * `head`, `tail` empty, no references. `message` objects: `head` is the piece list and the mail's header,
 * `tail` its other stretches (a block lays all heads first, then all tails: alike with alike), `references`
 * the `data` objects that the piece list names by their position here. References go to `data` only.
 */
export interface StoredObject {
  readonly kind: ObjectKind;
  readonly id: ObjectId;
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  readonly references: readonly ObjectId[];
}

/**
 * Puts a message together from its stored form: the store verifies messages and knows nothing of mail, so the
 * composition root hands it this function (chunker/assemble.ts).
 * Yields the message's bytes in order, in stretches of at most a few MiB.
 */
export type AssembleMessage = (
  head: Uint8Array,
  tail: Uint8Array,
  /** The plaintext of `references[position]`, verified. */
  load: (position: number) => Promise<Uint8Array>,
  /** Of a stretch: `until the next` one is asked for, which takes less memory. Default `lasting`. */
  lifetime?: "lasting" | "until the next",
) => AsyncIterable<Uint8Array>;
