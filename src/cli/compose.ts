/** Where concrete things meet: a backend, the repository on it, and the way mail is put together. */
import type { Backend } from "../backend/backend.ts";
import { openBackend } from "../backend/open-backend.ts";
import { readOnly } from "../backend/read-only.ts";
import type { Clock } from "../base/clock.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { assembleMessage } from "../chunker/assemble.ts";
import { initRepository, openRepository, type Repository } from "../store/repository.ts";
import type { Password } from "./password.ts";

export type Access = "read" | "write";

export interface OpenStoredOptions {
  readonly access: Access;
  readonly password: Password | undefined;
  /** Called only when the repository is encrypted and no password was given. */
  readonly ask: () => Promise<Password>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface OpenedRepository {
  readonly repository: Repository;
  close(): Promise<void>;
}

export async function openStored(location: string, options: OpenStoredOptions): Promise<OpenedRepository> {
  const inner = await openBackend(location);
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
  const { password, ask, clock, log } = options;
  const openWith = (given: Password | undefined) =>
    openRepository(backend, { password: given, assemble: assembleMessage, clock, log });
  try {
    return await openWith(password);
  } catch (error) {
    if (!isCyrvaultError(error, "PASSWORD_NEEDED")) throw error;
    return await openWith(await ask());
  }
}

/** @param password - undefined: not encrypted. */
export async function initStored(
  location: string,
  password: Password | undefined,
  clock: Clock,
): Promise<{ readonly id: string; readonly encrypted: boolean; readonly description: string }> {
  const backend = await openBackend(location);
  try {
    const made = await initRepository(
      backend,
      password === undefined ? { noEncryption: true, clock } : { password, clock },
    );
    return { ...made, description: backend.properties.description };
  } finally {
    await backend.close();
  }
}
