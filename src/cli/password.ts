/** Where passwords and key files come from: an option, the environment, or a person at a terminal. Never an argument itself. */
import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { createFile } from "../base/durable.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { causeCode, ioError } from "../base/io-error.ts";
import { nodeFileSystem } from "../base/node-file-system.ts";
import {
  type Password,
  readSecretFile,
  requireRandom,
  SECRET_FILE_BYTES,
  SECRET_FILE_BYTES_MAX,
  type Secret,
  type SecretFile,
  type WrappingSecret,
} from "../store/secret.ts";
import type { Terminal } from "./terminal.ts";

/** Options and variables that say where a secret is. */
export interface SecretSource {
  readonly passwordFile: string | undefined;
  readonly keyFile: string | undefined;
}

const OPEN_OPTIONS = ["--password-file", "--key-file"] as const;

type Env = Terminal["env"];

/** What was given without asking anybody; undefined when nothing was. An option comes before the environment. */
export function givenSecret(options: SecretSource, env: Env): Secret | undefined {
  const place = placeOf(options, env, "CYRVAULT", OPEN_OPTIONS);
  if (place === undefined || "password" in place) return place?.password;
  if (place.kind === "password-file") return readPasswordFile(place.path);
  return readSecretFile(readBounded("key file", place.path), place.path);
}

/** Without looking at what is named. */
export function isSecretNamed(source: SecretSource, env: Env): boolean {
  return placeOf(source, env, "CYRVAULT", OPEN_OPTIONS) !== undefined;
}

/**
 * A secret to wrap keys with. A key file that is named and not there is made.
 * @param prefix - of the variables: `CYRVAULT` or `CYRVAULT_NEW`.
 * @param options - named in messages, for password and key file.
 */
export async function givenNewSecret(
  source: SecretSource,
  env: Env,
  prefix: "CYRVAULT" | "CYRVAULT_NEW",
  options: readonly [string, string],
): Promise<{ readonly secret: WrappingSecret; readonly madeFile?: string } | undefined> {
  const place = placeOf(source, env, prefix, options);
  if (place === undefined) return undefined;
  if ("password" in place) return { secret: place.password };
  if (place.kind === "password-file") return { secret: readPasswordFile(place.path) };
  const made = await makeSecretFile(place.path);
  if (made !== undefined) return { secret: made, madeFile: place.path };
  const secret = readSecretFile(readBounded("key file", place.path), place.path);
  if (secret.kind === "paper")
    throw new CyrvaultError("USAGE", `${place.path} is a paper key: it is not kept in the repository`, {
      hint: "it opens the repository as it is: --key-file",
    });
  requireRandom(secret, place.path);
  return { secret };
}

/** For an encrypted repository. @throws {CyrvaultError} `PASSWORD_NEEDED` when nobody can be asked. */
export async function askPassword(terminal: Terminal): Promise<Password> {
  if (!terminal.canAsk) {
    throw new CyrvaultError("PASSWORD_NEEDED", "the repository is encrypted and no password was given", {
      hint: "use --password-file FILE, --key-file FILE, $CYRVAULT_PASSWORD_FILE, $CYRVAULT_PASSWORD or $CYRVAULT_KEY_FILE",
    });
  }
  const password = await terminal.askSecret("Password of the repository: ");
  if (password === "") throw new CyrvaultError("USAGE", "the password is empty");
  return password;
}

/** Asks twice. @param what - it is for: the question. @param hint - when nobody can be asked. */
export async function askNewPassword(terminal: Terminal, what: string, hint: string): Promise<Password> {
  if (!terminal.canAsk)
    throw new CyrvaultError("USAGE", "a new password is needed, and none was given", { hint });
  const password = await terminal.askSecret(`${what}: `);
  if (password === "") throw new CyrvaultError("USAGE", "the password is empty");
  if ((await terminal.askSecret("The same once more: ")) !== password)
    throw new CyrvaultError("USAGE", "the two passwords differ");
  return password;
}

type Place =
  | { readonly password: string }
  | { readonly kind: "password-file" | "key-file"; readonly path: string };

function placeOf(
  { passwordFile, keyFile }: SecretSource,
  env: Env,
  prefix: string,
  options: readonly [string, string],
): Place | undefined {
  if (passwordFile !== undefined && keyFile !== undefined)
    throw new CyrvaultError("USAGE", `${options[0]} and ${options[1]} at once: which of them?`);
  if (passwordFile !== undefined) return { kind: "password-file", path: passwordFile };
  if (keyFile !== undefined) return { kind: "key-file", path: keyFile };
  const password = env[`${prefix}_PASSWORD`];
  if (password === "") throw new CyrvaultError("USAGE", `$${prefix}_PASSWORD is empty`);
  if (password !== undefined) return { password };
  const passwordPath = env[`${prefix}_PASSWORD_FILE`];
  if (passwordPath !== undefined) return { kind: "password-file", path: passwordPath };
  const keyPath = env[`${prefix}_KEY_FILE`];
  return keyPath === undefined ? undefined : { kind: "key-file", path: keyPath };
}

/** Random bytes, durable before anything is wrapped with them. @returns undefined: the file was there. */
async function makeSecretFile(path: string): Promise<SecretFile | undefined> {
  const bytes = randomBytes(SECRET_FILE_BYTES);
  try {
    await createFile(nodeFileSystem, path, bytes, { mode: 0o600 });
    return { kind: "secret-file", bytes };
  } catch (error) {
    if (isCyrvaultError(error, "NAME_EXISTS")) return undefined;
    // Only what is there already can be used where nothing can be made.
    if (causeCode(error) === "EROFS" || causeCode(error) === "EACCES") return undefined;
    throw error;
  }
}

/** The whole file but for one line end at its end. */
function readPasswordFile(path: string): Password {
  const bytes = readBounded("password file", path);
  let end = bytes.length;
  if (end > 0 && bytes[end - 1] === 0x0a) end--;
  if (end < bytes.length && end > 0 && bytes[end - 1] === 0x0d) end--;
  const password = bytes.subarray(0, end);
  if (password.length === 0) throw new CyrvaultError("USAGE", `the password file ${path} is empty`);
  const text = password.toString("utf8");
  return Buffer.from(text, "utf8").equals(password) ? text : password;
}

function readBounded(what: string, path: string): Buffer {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    if (fstatSync(file).isDirectory()) throw new CyrvaultError("USAGE", `the ${what} ${path} is a directory`);
    const buffer = Buffer.alloc(SECRET_FILE_BYTES_MAX + 1);
    let length = 0;
    for (;;) {
      const count = readSync(file, buffer, length, buffer.length - length, null);
      length += count;
      if (length > SECRET_FILE_BYTES_MAX)
        throw new CyrvaultError("USAGE", `the ${what} ${path} is larger than ${SECRET_FILE_BYTES_MAX} bytes`);
      if (count === 0) return buffer.subarray(0, length);
    }
  } catch (cause) {
    throw ioError(`cannot read the ${what} ${path}`, cause);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
