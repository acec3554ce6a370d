/**
 * The seal: what keeps repository bytes secret and whole. Formats: docs/formats/keys.md.
 *
 * Encrypted: AES-256-GCM. Unencrypted: the bytes in clear and, in the place of GCM's tag, a checksum over the
 * same things. Both add SEAL_BYTES at the end, and both say what the bytes are and where they belong, so that
 * sound bytes in the wrong place are damage too.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac } from "node:crypto";
import { equalBytes } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import { giveBack } from "../base/give-back.ts";

export const SEAL_BYTES = 16;

/** 32 bytes, or undefined for the keyless seal. */
export type SealKey = Uint8Array | undefined;

/**
 * @param nonce - must never come twice under one key.
 * @param associated - what the bytes are and where they belong: not stored, must be the same at opening.
 * @returns a buffer of its own, SEAL_BYTES longer than `plain`.
 */
export function sealBytes(key: SealKey, nonce: number, associated: Uint8Array, plain: Uint8Array): Buffer {
  const sealed = Buffer.allocUnsafeSlow(plain.length + SEAL_BYTES);
  if (key === undefined) {
    sealed.set(plain);
    sealed.set(keylessSeal(nonce, associated, plain), plain.length);
    return sealed;
  }
  const cipher = createCipheriv("aes-256-gcm", key, nonceBytes(nonce)).setAAD(associated);
  const body = cipher.update(plain);
  cipher.final();
  sealed.set(body);
  giveBack(body);
  sealed.set(cipher.getAuthTag(), plain.length);
  return sealed;
}

/**
 * @param what - names the thing in the error.
 * @returns for the keyless seal a view into `sealed`, otherwise a buffer of its own.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`: a byte is not what it was, or belongs elsewhere.
 */
export function openBytes(
  key: SealKey,
  nonce: number,
  associated: Uint8Array,
  sealed: Uint8Array,
  what: string,
): Buffer {
  const length = sealed.length - SEAL_BYTES;
  if (length < 0) throw damaged(what, "shorter than its seal");
  const body = Buffer.from(sealed.buffer, sealed.byteOffset, length);
  const seal = sealed.subarray(length);
  if (key === undefined) {
    if (!equalBytes(keylessSeal(nonce, associated, body), seal))
      throw damaged(what, "the checksum does not fit");
    return body;
  }
  const decipher = createDecipheriv("aes-256-gcm", key, nonceBytes(nonce))
    .setAAD(associated)
    .setAuthTag(seal);
  const plain = decipher.update(body);
  try {
    decipher.final();
  } catch (cause) {
    throw damaged(what, "the seal does not fit", cause);
  }
  return plain;
}

/** HMAC-SHA-256 under `secret` of label, NUL, purpose, NUL, id: 32 bytes. */
export function deriveKey(secret: Uint8Array, label: string, purpose: string, id: Uint8Array): Buffer {
  return createHmac("sha256", secret).update(`${label}\0${purpose}\0`).update(id).digest();
}

function keylessSeal(nonce: number, associated: Uint8Array, plain: Uint8Array): Buffer {
  return createHash("sha256")
    .update(nonceBytes(nonce))
    .update(associated)
    .update(plain)
    .digest()
    .subarray(0, SEAL_BYTES);
}

function nonceBytes(nonce: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(BigInt(nonce), 4);
  return bytes;
}

function damaged(what: string, why: string, cause?: unknown): CyrvaultError {
  return new CyrvaultError("REPOSITORY_DAMAGED", `${what}: ${why}`, { cause });
}
