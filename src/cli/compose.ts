/** Where concrete things meet: a backend, the repository on it, and the way mail is put together. */
import type { Backend } from "../backend/backend.ts";
import { openBackend } from "../backend/open-backend.ts";
import { readOnly } from "../backend/read-only.ts";
import type { Clock } from "../base/clock.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { assembleMessage } from "../chunker/assemble.ts";
import { Keyring } from "../keys/keyring.ts";
import { initRepository, openRepository, type Repository } from "../store/repository.ts";
import type { Secret, WrappingSecret } from "../store/secret.ts";
import type { OwnPacks } from "../store/vouching.ts";
import { refreshRecoveryFolder } from "./recovery-folder.ts";

export type Access = "read" | "write";

interface UnlockOptions {
  readonly access: Access;
  readonly secret: Secret | undefined;
  /** Called only when the repository is encrypted and no secret was given. */
  readonly ask: () => Promise<Secret>;
}

export interface OpenStoredOptions extends UnlockOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** For a key that may only write: what this machine has stored with it. */
  readonly ownPacks?: (repository: string) => OwnPacks;
  readonly wrapBackend?: WrapBackend | undefined;
}

/** Put around the repository's backend. */
export type WrapBackend = (backend: Backend) => Backend;

export interface OpenedRepository {
  readonly repository: Repository;
  close(): Promise<void>;
}

export async function openStored(location: string, options: OpenStoredOptions): Promise<OpenedRepository> {
  const opened = await openBackend(location);
  const inner = options.wrapBackend?.(opened) ?? opened;
  const backend = options.access === "read" ? readOnly(inner) : inner;
  try {
    const repository = await open(backend, options);
    return {
      repository,
      close: async () => {
        await repository.close();
        await backend.close();
      },
    };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

async function open(backend: Backend, options: OpenStoredOptions): Promise<Repository> {
  const { clock, log, ownPacks } = options;
  return await withSecret(options, (password) =>
    openRepository(backend, { password, assemble: assembleMessage, clock, log, ownPacks }),
  );
}

/** Its keys alone. */
export async function openStoredKeys(
  location: string,
  options: UnlockOptions,
): Promise<{ readonly keyring: Keyring; close(): Promise<void> }> {
  const inner = await openBackend(location);
  const backend = options.access === "read" ? readOnly(inner) : inner;
  try {
    const keyring = await withSecret(options, (secret) => Keyring.open(backend, secret));
    return { keyring, close: () => backend.close() };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

async function withSecret<T>(
  { secret, ask }: UnlockOptions,
  open: (secret: Secret | undefined) => Promise<T>,
): Promise<T> {
  try {
    return await open(secret);
  } catch (error) {
    if (!isCyrvaultError(error, "PASSWORD_NEEDED")) throw error;
    return await open(await ask());
  }
}

/** @param password - undefined: not encrypted. @param log - for what need not succeed. */
export async function initStored(
  location: string,
  password: WrappingSecret | undefined,
  clock: Clock,
  log: Logger,
): Promise<{ readonly id: string; readonly encrypted: boolean; readonly description: string }> {
  const backend = await openBackend(location);
  try {
    const made = await initRepository(
      backend,
      password === undefined ? { noEncryption: true, clock } : { password, clock },
    );
    await refreshRecoveryFolder({ backend, ...made }, log);
    return { ...made, description: backend.properties.description };
  } finally {
    await backend.close();
  }
}
