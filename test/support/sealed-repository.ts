import { join } from "node:path";

/** An interface would not do where an index signature is asked for. */
export type SealedRepository = Readonly<Record<"CYRVAULT_REPO" | "CYRVAULT_KEY_FILE", string>>;

/**
 * The environment of an encrypted repository below a directory, for `cyrvault init` to make, its key file too: where it does
 * not matter what a repository opens with. With a password every command would first spend half a second on scrypt.
 */
export function sealedRepository(directory: string): SealedRepository {
  return { CYRVAULT_REPO: join(directory, "repository"), CYRVAULT_KEY_FILE: join(directory, "key") };
}
