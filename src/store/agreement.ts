/** X25519 (RFC 7748) and what is wrapped with it: sealed by whoever has the public half, opened by the private one alone. */
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from "node:crypto";
import { CyrvaultError } from "../base/errors.ts";
import { deriveKey, openBytes, SEAL_BYTES, sealBytes } from "./seal.ts";
import { SECRET_BYTES } from "./seal-context.ts";

/** RFC 8410: what stands before the 32 bytes. */
const SIGNING_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const PRIVATE_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");
const PUBLIC_PREFIX = Buffer.from("302a300506032b656e032100", "hex");

export const AGREED_BYTES = SECRET_BYTES + SECRET_BYTES + SEAL_BYTES;

export function agreementPublicKey(privateKey: Uint8Array): Buffer {
  return publicHalf(privateObject(privateKey));
}

/** Ed25519. @param seed - the private key of RFC 8032. */
export function signingPublicKey(seed: Uint8Array): Buffer {
  const key = Buffer.concat([SIGNING_PREFIX, seed]);
  return rawPublic(createPublicKey(createPrivateKey({ key, format: "der", type: "pkcs8" })));
}

/**
 * @param ephemeral - a new random private key for each call.
 * @param id - of the file, once only.
 * @param associated - what the wrapped key is for.
 * @returns AGREED_BYTES: the ephemeral public key, then the sealed one.
 */
export function wrapForAgreement(
  publicKey: Uint8Array,
  ephemeral: Uint8Array,
  id: Uint8Array,
  associated: Uint8Array,
  key: Uint8Array,
): Buffer {
  const own = privateObject(ephemeral);
  const ephemeralPublic = publicHalf(own);
  const wrapping = agree(own, publicKey, [ephemeralPublic, publicKey, id], "key agreement");
  return Buffer.concat([ephemeralPublic, sealBytes(wrapping, 0, associated, key)]);
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export function unwrapByAgreement(
  privateKey: Uint8Array,
  id: Uint8Array,
  associated: Uint8Array,
  wrapped: Uint8Array,
  what: string,
): Buffer {
  if (wrapped.length !== AGREED_BYTES)
    throw new CyrvaultError("REPOSITORY_DAMAGED", `${what}: the wrapped key has the wrong length`);
  const ephemeralPublic = wrapped.subarray(0, SECRET_BYTES);
  const own = privateObject(privateKey);
  const wrapping = agree(own, ephemeralPublic, [ephemeralPublic, publicHalf(own), id], what);
  return openBytes(wrapping, 0, associated, wrapped.subarray(SECRET_BYTES), `${what}: wrapped key`);
}

function agree(
  privateKey: KeyObject,
  publicKey: Uint8Array,
  parts: readonly Uint8Array[],
  what: string,
): Buffer {
  let shared: Buffer;
  try {
    shared = diffieHellman({ privateKey, publicKey: publicObject(publicKey) });
  } catch (cause) {
    // A public key of small order: nobody who means well has one.
    throw new CyrvaultError("REPOSITORY_DAMAGED", `${what}: a public key that agrees on nothing`, { cause });
  }
  return deriveKey(shared, "cyrvault wrap", "x25519", Buffer.concat(parts));
}

function privateObject(raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PRIVATE_PREFIX, raw]), format: "der", type: "pkcs8" });
}

function publicHalf(privateKey: KeyObject): Buffer {
  return rawPublic(createPublicKey(privateKey));
}

function publicObject(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([PUBLIC_PREFIX, raw]), format: "der", type: "spki" });
}

function rawPublic(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: "der", type: "spki" }).subarray(PUBLIC_PREFIX.length));
}
