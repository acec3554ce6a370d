/** Key files: the key set under a password or a secret file. Format: docs/formats/keys.md. */
import { createHash, randomBytes, scrypt } from "node:crypto";
import { toHex } from "../base/bytes.ts";
import { assert, CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { type AnyKeySet, decodeKeySet, encodeKeySet, mayRead } from "./key-set.ts";
import { deriveKey, openBytes, sealBytes } from "./seal.ts";
import { SECRET_BYTES } from "./seal-context.ts";
import { nameOfSecret, type Password, type SecretFile, type WrappingSecret } from "./secret.ts";

export const KEYS_PREFIX = "keys/";
export const KEY_FILE_BYTES_MAX = 262_144;

const FORMAT = "cyrvault key";
const VERSION = 1;
const WRAP_SCHEME = 1;
const SALT_BYTES = 16;
const NESTING_MAX = 64;
const SCRYPT_MEMORY_MAX = 2 ** 30;
const SCRYPT_WORK_MAX = 2 ** 25;

export interface ScryptCost {
  /** A power of two. Memory is 128 × n × r bytes. */
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

/** Half a second and 128 MiB. */
const DEFAULT_COST: ScryptCost = { n: 2 ** 17, r: 8, p: 1 };

export interface KeyFile {
  /** `keys/<key id>.json`. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Why there are no bytes. */
  readonly unreadable?: CyrvaultError;
}

/** What a key file says of itself without being opened. */
export interface KeyFileDescription {
  readonly id: string;
  /** RFC 3339, UTC. */
  readonly created: string;
  readonly opensWith: "password" | "key file";
  /** It opens no content. */
  readonly isWriteOnly: boolean;
}

type Kdf =
  | (ScryptCost & { readonly name: "scrypt"; readonly salt: string })
  | { readonly name: "key-file"; readonly salt: string };

interface KeyFileFields {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly id: string;
  readonly created: string;
  /** Absent: all. */
  readonly rights?: "write";
  readonly kdf: Kdf;
  readonly wrap: { readonly scheme: number; readonly sealed: string };
  readonly check: string;
}

/**
 * A new key file: the key set, to be opened with this secret.
 * @param secret - a password that is not empty, or a secret file that is random: `requireRandom`.
 * @param options.cost - for a password.
 */
export async function makeKeyFile(
  keySet: AnyKeySet,
  secret: WrappingSecret,
  options: {
    readonly createdMs: number;
    readonly cost?: ScryptCost;
    readonly random?: (count: number) => Uint8Array;
  },
): Promise<KeyFile> {
  const random = options.random ?? randomBytes;
  const cost = options.cost ?? DEFAULT_COST;
  assert(isAffordable(cost), "scrypt parameters that no reader would take");
  if (!isSecretFile(secret) && secret.length === 0) throw new CyrvaultError("USAGE", "the password is empty");
  const id = toHex(random(16));
  const salt = toHex(random(SALT_BYTES));
  const { n, r, p } = cost;
  const kdf: Kdf = isSecretFile(secret) ? { name: "key-file", salt } : { name: "scrypt", n, r, p, salt };
  const open: KeyFileFields = {
    format: FORMAT,
    version: VERSION,
    id,
    created: new Date(options.createdMs).toISOString(),
    ...(mayRead(keySet) ? {} : { rights: "write" as const }),
    kdf,
    wrap: { scheme: WRAP_SCHEME, sealed: "" },
    check: "",
  };
  const wrappingKey = await wrappingKeyOf(secret, kdf);
  assert(wrappingKey !== undefined, "a derivation for another kind of secret");
  const sealed = sealBytes(wrappingKey, 0, print(open), encodeKeySet(keySet));
  const closed = { ...open, wrap: { scheme: WRAP_SCHEME, sealed: toHex(sealed) } };
  return { name: keyFileName(id), bytes: print({ ...closed, check: checkOf(closed) }) };
}

/**
 * As `makeKeyFile`, and opens it again: what cannot be opened on this machine must not be what a repository depends on.
 * @throws {CyrvaultError} `IO`: it opens to nothing, or to something else.
 */
export async function makeTestedKeyFile(...given: Parameters<typeof makeKeyFile>): Promise<KeyFile> {
  const [keySet, secret] = given;
  const file = await makeKeyFile(...given);
  let opened: AnyKeySet | undefined;
  let cause: unknown;
  try {
    opened = (await openKeyFiles([file], secret)).keySet;
  } catch (error) {
    cause = error;
  }
  if (opened !== undefined && encodeKeySet(opened).equals(encodeKeySet(keySet))) return file;
  throw new CyrvaultError("IO", "a key that was just made does not open: nothing of it has been kept", {
    cause,
    hint: "test this machine's memory",
  });
}

/**
 * Opens the key set with whichever of the key files the secret fits. Each try of a password costs what scrypt costs.
 * A damaged file does not keep a sound one from opening.
 * @throws {CyrvaultError} `PASSWORD_WRONG`: it fits none of the sound ones. `IO`: likewise, and one could not be read, which
 *   it may fit. `REPOSITORY_DAMAGED`, `REPOSITORY_VERSION`: there is none that could be tried.
 */
export async function openKeyFiles(
  files: readonly KeyFile[],
  secret: WrappingSecret,
): Promise<{ readonly keySet: AnyKeySet; readonly name: string }> {
  let wrong: CyrvaultError | undefined;
  let untried: CyrvaultError | undefined;
  let unread: CyrvaultError | undefined;
  for (const file of files) {
    try {
      return { keySet: await openKeyFile(file, secret), name: file.name };
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      if (error.code === "PASSWORD_WRONG") wrong ??= error;
      else untried ??= error;
      if (error.code === "IO") unread ??= error;
    }
  }
  if (wrong === undefined)
    throw untried ?? new CyrvaultError("REPOSITORY_DAMAGED", "the repository has lost its key files");
  if (unread !== undefined)
    throw new CyrvaultError(
      "IO",
      `${nameOfSecret(secret)} opens no key that can be read: ${unread.message}`,
      {
        cause: unread,
      },
    );
  throw new CyrvaultError("PASSWORD_WRONG", `${nameOfSecret(secret)} does not open this repository`, {
    cause: wrong,
    hint: untried === undefined ? waysToOpen(files) : `a key file could not be tried: ${untried.message}`,
  });
}

/** Of key files that have been parsed. */
function waysToOpen(files: readonly KeyFile[]): string {
  const kinds = new Set(files.map((file) => parse(file).kdf.name));
  const ways = [
    ...(kinds.has("scrypt") ? ["a password"] : []),
    ...(kinds.has("key-file") ? ["a key file (--key-file)"] : []),
  ];
  return `it opens with ${ways.join(" or ")}; where all are lost, with a key on paper (--key-file)`;
}

async function openKeyFile(file: KeyFile, secret: WrappingSecret): Promise<AnyKeySet> {
  const fields = parse(file);
  const wrappingKey = await wrappingKeyOf(secret, fields.kdf);
  if (wrappingKey === undefined)
    throw new CyrvaultError("PASSWORD_WRONG", `${nameOfSecret(secret)} is not what this key opens with`);
  const associated = print({ ...fields, wrap: { ...fields.wrap, sealed: "" }, check: "" });
  let plain: Buffer;
  try {
    plain = openBytes(wrappingKey, 0, associated, Buffer.from(fields.wrap.sealed, "hex"), file.name);
  } catch (cause) {
    // The file's checksum has been verified: what is left is the secret.
    throw new CyrvaultError("PASSWORD_WRONG", `${nameOfSecret(secret)} does not open this key`, { cause });
  }
  const keySet = decodeKeySet(plain);
  if (mayRead(keySet) !== (fields.rights === undefined))
    throw damaged(file.name, "it does not hold the keys that it says it holds");
  return keySet;
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`, `REPOSITORY_VERSION`. Needs no secret: `check` uses it too. */
export function verifyKeyFile(file: KeyFile): void {
  parse(file);
}

/** @throws {CyrvaultError} as `verifyKeyFile`. */
export function describeKeyFile(file: KeyFile): KeyFileDescription {
  const { id, created, kdf, rights } = parse(file);
  const opensWith = kdf.name === "scrypt" ? "password" : "key file";
  return { id, created, opensWith, isWriteOnly: rights === "write" };
}

function parse(file: KeyFile): KeyFileFields {
  const { name, unreadable } = file;
  if (unreadable !== undefined) throw unreadable;
  if (file.bytes.length > KEY_FILE_BYTES_MAX) throw damaged(name, "too long for a key file");
  const text = Buffer.from(file.bytes).toString("utf8");
  // Printing again what has been parsed recurses.
  if ((text.match(/[[{]/g)?.length ?? 0) > NESTING_MAX)
    throw damaged(name, "too many objects for a key file");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(name, "not JSON", cause);
  }
  const fields = value as Partial<KeyFileFields> | null;
  if (fields === null || typeof fields !== "object" || fields.format !== FORMAT)
    throw damaged(name, "not a key file");
  // The checksum covers every byte of every version: a flipped digit is damage, not another version.
  if (!print({ ...fields, check: checkOf(fields) }).equals(file.bytes))
    throw damaged(name, "the checksum does not fit");
  if (fields.version !== VERSION) throw unsupported(name, `version ${fields.version}`);
  const { id, created, kdf, wrap } = fields;
  if (typeof id !== "string" || !isHex(id, 16, 16) || keyFileName(id) !== name)
    throw damaged(name, "it is another key's file");
  if (typeof created !== "string" || typeof kdf !== "object" || typeof wrap !== "object" || !kdf || !wrap)
    throw damaged(name, "a field is lacking");
  const rights: unknown = fields.rights;
  if (rights !== undefined && rights !== "write") throw unsupported(name, `rights ${String(rights)}`);
  const derivation: unknown = kdf.name;
  if (derivation !== "scrypt" && derivation !== "key-file")
    throw unsupported(name, `key derivation ${String(derivation)}`);
  if (wrap.scheme !== WRAP_SCHEME) throw unsupported(name, `wrap scheme ${wrap.scheme}`);
  if (kdf.name === "scrypt" && !isAffordable(kdf)) throw damaged(name, "scrypt parameters out of bounds");
  if (!isHex(kdf.salt, 16, 64) || !isHex(wrap.sealed, SECRET_BYTES, KEY_FILE_BYTES_MAX))
    throw damaged(name, "a field is no hex of the right length");
  return fields as KeyFileFields;
}

/** Every field in its order: also what comes back from parsing, or it is not what we print. */
function print(fields: Partial<KeyFileFields>): Buffer {
  return Buffer.from(`${JSON.stringify(fields, null, 2)}\n`, "utf8");
}

function checkOf(fields: Partial<KeyFileFields>): string {
  return toHex(
    createHash("sha256")
      .update(print({ ...fields, check: "" }))
      .digest()
      .subarray(0, 16),
  );
}

function isSecretFile(secret: WrappingSecret): secret is SecretFile {
  return typeof secret === "object" && "kind" in secret;
}

/** undefined: what is wrapped so opens with something else. */
async function wrappingKeyOf(secret: WrappingSecret, kdf: Kdf): Promise<Buffer | undefined> {
  const salt = Buffer.from(kdf.salt, "hex");
  if (isSecretFile(secret)) {
    if (kdf.name !== "key-file") return undefined;
    return deriveKey(createHash("sha256").update(secret.bytes).digest(), "cyrvault key file", "", salt);
  }
  return kdf.name === "scrypt" ? await derive(secret, salt, kdf) : undefined;
}

function derive(password: Password, salt: Uint8Array, cost: ScryptCost): Promise<Buffer> {
  const secret = typeof password === "string" ? Buffer.from(password.normalize("NFC"), "utf8") : password;
  const { n, r, p } = cost;
  // OpenSSL counts a little more than 128 × n × r.
  const maxmem = 128 * n * r + 128 * r * p + 1_048_576;
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, SECRET_BYTES, { N: n, r, p, maxmem }, (error, key) => {
      if (error === null) resolve(key);
      else
        reject(new CyrvaultError("IO", "the key could not be derived from the password", { cause: error }));
    });
  });
}

/** Bounds on what a file may make us spend: 1 GiB, some seconds. */
function isAffordable({ n, r, p }: ScryptCost): boolean {
  const isPowerOfTwo = Number.isInteger(n) && n >= 2 && n <= 2 ** 24 && (n & (n - 1)) === 0;
  const isSmall = (value: number) => Number.isInteger(value) && value >= 1 && value <= 64;
  return (
    isPowerOfTwo &&
    isSmall(r) &&
    isSmall(p) &&
    128 * n * r <= SCRYPT_MEMORY_MAX &&
    n * r * p <= SCRYPT_WORK_MAX
  );
}

function isHex(text: unknown, bytesMin: number, bytesMax: number): text is string {
  return (
    typeof text === "string" &&
    text.length % 2 === 0 &&
    text.length >= 2 * bytesMin &&
    text.length <= 2 * bytesMax &&
    /^[0-9a-f]*$/.test(text)
  );
}

export function isKeyFileName(name: string): boolean {
  return /^keys\/[0-9a-f]{32}\.json$/.test(name);
}

export function keyFileName(id: string): string {
  return `${KEYS_PREFIX}${id}.json`;
}

function damaged(name: string, why: string, cause?: unknown): CyrvaultError {
  return new CyrvaultError("REPOSITORY_DAMAGED", `${name}: ${why}`, {
    cause,
    hint: "put the file back from a copy of this repository, or open it with a key on paper (--key-file)",
  });
}

function unsupported(name: string, which: string): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_VERSION",
    `${name}: ${which} is not known to this version of cyrvault`,
    {
      hint: "use the version of cyrvault that wrote it, or a newer one",
    },
  );
}
