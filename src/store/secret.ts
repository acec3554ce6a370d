/** What opens a repository: a password, a secret file, or a key from paper. Formats: docs/formats/keys.md. */
import { CyrvaultError } from "../base/errors.ts";
import type { KeySet } from "./key-set.ts";
import { decodePaperKey, isPaperKey } from "./paper-key.ts";

/** Text, or the bytes of one that is no text. */
export type Password = string | Uint8Array;

/** The content of a file that stands in the place of a password. */
export interface SecretFile {
  readonly kind: "secret-file";
  readonly bytes: Uint8Array;
}

/** Needs no key file in the repository. */
export interface PaperKey {
  readonly kind: "paper";
  /** The repository's id, in hex. */
  readonly repository: string;
  readonly keySet: KeySet;
}

/** Under these a key set can be wrapped. */
export type WrappingSecret = Password | SecretFile;
export type Secret = WrappingSecret | PaperKey;

export const SECRET_FILE_BYTES_MAX = 65_536;
/** What is made is so long. */
export const SECRET_FILE_BYTES = 64;
const SECRET_FILE_BYTES_MIN = 32;
const ENTROPY_BITS_MIN = 128;

/** @throws {CyrvaultError} `USAGE`: neither long enough for a secret file nor a paper key as it was printed. */
export function readSecretFile(bytes: Uint8Array, path: string): SecretFile | PaperKey {
  if (isPaperKey(bytes)) return { kind: "paper", ...decodePaperKey(bytes, path) };
  if (bytes.length < SECRET_FILE_BYTES_MIN || bytes.length > SECRET_FILE_BYTES_MAX)
    throw new CyrvaultError(
      "USAGE",
      `the key file ${path} has ${bytes.length} bytes, not ${SECRET_FILE_BYTES_MIN} to ${SECRET_FILE_BYTES_MAX}`,
      { hint: "a short text is a password: --password-file" },
    );
  return { kind: "secret-file", bytes };
}

/**
 * Against mistakes, no proof: a file of zeros or of a few letters has no place where nothing slows down whoever tries
 * out its content.
 * @throws {CyrvaultError} `USAGE`.
 */
export function requireRandom({ bytes }: SecretFile, path: string): void {
  const counts = new Map<number, number>();
  for (const byte of bytes) counts.set(byte, (counts.get(byte) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits += count * Math.log2(bytes.length / count);
  if (bits >= ENTROPY_BITS_MIN) return;
  throw new CyrvaultError("USAGE", `the key file ${path} is not random enough`, {
    hint: "name a file that is not there: it will be made; or use its content as a password",
  });
}

/** For messages. */
export function nameOfSecret(secret: Secret): string {
  if (typeof secret === "string" || secret instanceof Uint8Array) return "the password";
  return secret.kind === "paper" ? "the paper key" : "the key file";
}
