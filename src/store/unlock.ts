/** From what is in a repository without a key, and a secret, to its keys. Format: docs/formats/repository.md. */
import type { Backend } from "../backend/backend.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { type AnyKeySet, sealContextOf } from "./key-set.ts";
import { isKeyFileName, KEY_FILE_BYTES_MAX, KEYS_PREFIX, type KeyFile, openKeyFiles } from "./keys.ts";
import {
  CONFIG_BYTES_MAX,
  CONFIG_NAME,
  decodeConfig,
  isConfigOf,
  PUT_CONFIG_BACK,
  type RepositoryConfig,
} from "./repository-config.ts";
import { UNENCRYPTED } from "./seal-context.ts";
import { Sealer } from "./sealer.ts";
import type { Secret } from "./secret.ts";

export interface OpenedKeys {
  readonly keySet: AnyKeySet;
  /** The key file that the secret opened; undefined for a key from paper. */
  readonly name: string | undefined;
}

/** @throws {CyrvaultError} `REPOSITORY_NOT_FOUND`, `REPOSITORY_DAMAGED`, `REPOSITORY_VERSION`. */
export async function readConfig(backend: Backend): Promise<RepositoryConfig> {
  const bytes = await backend.read(CONFIG_NAME, CONFIG_BYTES_MAX);
  if (bytes !== undefined) return decodeConfig(bytes);
  throw new CyrvaultError("REPOSITORY_NOT_FOUND", `no repository in ${backend.properties.description}`, {
    hint: "cyrvault init makes one",
  });
}

/**
 * @returns undefined: the repository is not encrypted.
 * @throws {CyrvaultError} `PASSWORD_NEEDED`, `PASSWORD_WRONG`, `PASSWORD_UNUSED`, `REPOSITORY_DAMAGED`, `REPOSITORY_VERSION`.
 */
export async function unlock(
  backend: Backend,
  config: RepositoryConfig,
  secret: Secret | undefined,
): Promise<OpenedKeys | undefined> {
  if (!config.encrypted) {
    if (!isConfigOf(config, new Sealer(UNENCRYPTED))) throw wrongMac();
    if (secret === undefined) return undefined;
    throw new CyrvaultError("PASSWORD_UNUSED", "a password was given, but the repository is not encrypted", {
      hint: "if it should be: somebody may have put another repository in its place",
    });
  }
  if (secret === undefined)
    throw new CyrvaultError("PASSWORD_NEEDED", "the repository is encrypted: it needs a password");
  const isOurs = (keySet: AnyKeySet) => isConfigOf(config, new Sealer(sealContextOf(keySet)));
  if (typeof secret === "object" && "kind" in secret && secret.kind === "paper") {
    if (secret.repository !== config.id)
      throw new CyrvaultError("PASSWORD_WRONG", "the paper key belongs to another repository", {
        context: { key: secret.repository, repository: config.id },
      });
    if (!isOurs(secret.keySet)) throw wrongMac();
    return { keySet: secret.keySet, name: undefined };
  }
  let files = await readKeyFiles(backend);
  let hasOpened = false;
  while (files.length > 0 || !hasOpened) {
    try {
      const opened = await openKeyFiles(files, secret);
      if (isOurs(opened.keySet)) return opened;
      // Left over from an init that broke off: the same secret, other keys.
      hasOpened = true;
      files = files.filter(({ name }) => name !== opened.name);
    } catch (error) {
      if (!hasOpened || !isCyrvaultError(error, "PASSWORD_WRONG")) throw error;
      break;
    }
  }
  throw wrongMac();
}

/** By name. One that cannot be read is among them: it must not keep another one from opening. */
export async function readKeyFiles(backend: Backend): Promise<KeyFile[]> {
  const files: KeyFile[] = [];
  for await (const { name } of backend.list(KEYS_PREFIX)) {
    if (!isKeyFileName(name)) continue;
    try {
      const bytes = await backend.read(name, KEY_FILE_BYTES_MAX);
      if (bytes !== undefined) files.push({ name, bytes });
    } catch (unreadable) {
      if (!isCyrvaultError(unreadable)) throw unreadable;
      files.push({ name, bytes: new Uint8Array(0), unreadable });
    }
  }
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function wrongMac(): CyrvaultError {
  return new CyrvaultError("REPOSITORY_DAMAGED", `${CONFIG_NAME}: it has been changed since it was made`, {
    hint: PUT_CONFIG_BACK,
  });
}
