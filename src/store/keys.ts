/** Key files: the key set under a password. Format: docs/formats/keys.md. */
import { createHash, randomBytes, scrypt } from "node:crypto";
import { toHex } from "../base/bytes.ts";
import { assert, CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { decodeKeySet, encodeKeySet, type KeySet } from "./key-set.ts";
import { openBytes, sealBytes } from "./seal.ts";
import { SECRET_BYTES } from "./seal-context.ts";

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
}

interface KeyFileFields {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly id: string;
  readonly created: string;
  readonly kdf: ScryptCost & { readonly name: "scrypt"; readonly salt: string };
  readonly wrap: { readonly scheme: number; readonly sealed: string };
  readonly check: string;
}

/**
 * A new key file: the key set, to be opened with this password.
 * @param password - text, or the bytes of one that is no text. Never empty.
 */
export async function makeKeyFile(
  keySet: KeySet,
  password: string | Uint8Array,
  options: {
    readonly createdMs: number;
    readonly cost?: ScryptCost;
    readonly random?: (count: number) => Uint8Array;
  },
): Promise<KeyFile> {
  const random = options.random ?? randomBytes;
  const cost = options.cost ?? DEFAULT_COST;
  assert(isAffordable(cost), "scrypt parameters that no reader would take");
  if (password.length === 0) throw new CyrvaultError("USAGE", "the password is empty");
  const id = toHex(random(16));
  const salt = random(SALT_BYTES);
  const { n, r, p } = cost;
  const open: KeyFileFields = {
    format: FORMAT,
    version: VERSION,
    id,
    created: new Date(options.createdMs).toISOString(),
    kdf: { name: "scrypt", n, r, p, salt: toHex(salt) },
    wrap: { scheme: WRAP_SCHEME, sealed: "" },
    check: "",
  };
  const wrappingKey = await derive(password, salt, cost);
  const sealed = sealBytes(wrappingKey, 0, print(open), encodeKeySet(keySet));
  const closed = { ...open, wrap: { scheme: WRAP_SCHEME, sealed: toHex(sealed) } };
  return { name: keyFileName(id), bytes: print({ ...closed, check: checkOf(closed) }) };
}

/**
 * Opens the key set with whichever of the key files the password fits. Each try costs what scrypt costs.
 * A damaged file does not keep a sound one from opening.
 * @throws {CyrvaultError} `PASSWORD_WRONG`: it fits none of the sound ones. `REPOSITORY_DAMAGED`,
 *   `REPOSITORY_VERSION`: there is none that could be tried.
 */
export async function openKeyFiles(
  files: readonly KeyFile[],
  password: string | Uint8Array,
): Promise<{ readonly keySet: KeySet; readonly name: string }> {
  let wrong: CyrvaultError | undefined;
  let untried: CyrvaultError | undefined;
  for (const file of files) {
    try {
      return { keySet: await openKeyFile(file, password), name: file.name };
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      if (error.code === "PASSWORD_WRONG") wrong ??= error;
      else untried ??= error;
    }
  }
  if (wrong === undefined)
    throw untried ?? new CyrvaultError("REPOSITORY_DAMAGED", "the repository has lost its key files");
  throw new CyrvaultError("PASSWORD_WRONG", "the password does not open this repository", {
    cause: wrong,
    ...(untried !== undefined && { hint: `a key file could not be tried: ${untried.message}` }),
  });
}

async function openKeyFile(file: KeyFile, password: string | Uint8Array): Promise<KeySet> {
  const fields = parse(file);
  const { n, r, p } = fields.kdf;
  const wrappingKey = await derive(password, Buffer.from(fields.kdf.salt, "hex"), { n, r, p });
  const associated = print({ ...fields, wrap: { ...fields.wrap, sealed: "" }, check: "" });
  let plain: Buffer;
  try {
    plain = openBytes(wrappingKey, 0, associated, Buffer.from(fields.wrap.sealed, "hex"), file.name);
  } catch (cause) {
    // The file's checksum has been verified: what is left is the password.
    throw new CyrvaultError("PASSWORD_WRONG", "the password does not open this key file", { cause });
  }
  return decodeKeySet(plain);
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`, `REPOSITORY_VERSION`. Needs no password: `check` uses it too. */
export function verifyKeyFile(file: KeyFile): void {
  parse(file);
}

function parse(file: KeyFile): KeyFileFields {
  const { name } = file;
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
  if (kdf.name !== "scrypt") throw unsupported(name, `key derivation ${kdf.name}`);
  if (wrap.scheme !== WRAP_SCHEME) throw unsupported(name, `wrap scheme ${wrap.scheme}`);
  if (!isAffordable(kdf)) throw damaged(name, "scrypt parameters out of bounds");
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

function derive(password: string | Uint8Array, salt: Uint8Array, cost: ScryptCost): Promise<Buffer> {
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

function keyFileName(id: string): string {
  return `${KEYS_PREFIX}${id}.json`;
}

function damaged(name: string, why: string, cause?: unknown): CyrvaultError {
  return new CyrvaultError("REPOSITORY_DAMAGED", `${name}: ${why}`, { cause });
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
