/**
 * The names of objects: SHA-256, or HMAC-SHA-256 under the repository's id key when it is encrypted, over the
 * kind's domain byte and the plaintext.
 */
import { createHash, createHmac } from "node:crypto";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { asObjectId, KIND_BYTES, type ObjectId, type ObjectKind } from "./object.ts";
import type { SealContext } from "./seal-context.ts";

/** `portable` is the same function in JavaScript (@noble/hashes), some twelve times slower: a second opinion. */
export type HashImplementation = "native" | "portable";

export interface ObjectIdStream {
  update(bytes: Uint8Array): void;
  /** Once. */
  digest(): ObjectId;
}

const DOMAINS: Readonly<Record<ObjectKind, Uint8Array>> = {
  data: Uint8Array.of(KIND_BYTES.data),
  message: Uint8Array.of(KIND_BYTES.message),
  meta: Uint8Array.of(KIND_BYTES.meta),
  manifest: Uint8Array.of(KIND_BYTES.manifest),
};

export class ObjectHasher {
  readonly #idKey: Uint8Array | undefined;
  readonly #implementation: HashImplementation;

  constructor(context: SealContext, implementation: HashImplementation = "native") {
    this.#idKey = context.encrypted ? context.idKey : undefined;
    this.#implementation = implementation;
  }

  id(kind: ObjectKind, plaintext: Uint8Array): ObjectId {
    const hash = this.#start(kind);
    hash.update(plaintext);
    return asObjectId(hash.digest());
  }

  /** For what is too large to hold, or comes in pieces: the id of their concatenation. */
  stream(kind: ObjectKind): ObjectIdStream {
    const hash = this.#start(kind);
    return { update: (bytes) => void hash.update(bytes), digest: () => asObjectId(hash.digest()) };
  }

  #start(kind: ObjectKind): { update(bytes: Uint8Array): unknown; digest(): Uint8Array } {
    const key = this.#idKey;
    if (this.#implementation === "portable")
      return (key === undefined ? sha256.create() : hmac.create(sha256, key)).update(DOMAINS[kind]);
    return (key === undefined ? createHash("sha256") : createHmac("sha256", key)).update(DOMAINS[kind]);
  }
}
