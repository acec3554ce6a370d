/** The folder recovery/ of a repository: unencrypted, without mail, for the day when nothing else is left. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { PACKAGE_ROOT } from "../base/package-files.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { type RepositoryFacts, readmeText } from "./readme.ts";
import { serverPage, serverPageName } from "./server-page.ts";

export const RECOVERY_PREFIX = "recovery/";
const READER = `${RECOVERY_PREFIX}reader.py`;

/** Of the server that a backup was just made of. */
export interface ServerFacts {
  readonly root: ManifestRoot;
  readonly runbook: string;
}

/**
 * Makes the folder what it should be. Files whose bytes are right are not written.
 * @returns the names of those that were
 */
export async function refreshRecovery(
  backend: Backend,
  repository: RepositoryFacts,
  server?: ServerFacts,
): Promise<string[]> {
  const files: [name: string, content: string | Buffer][] = [
    [`${RECOVERY_PREFIX}README.txt`, readmeText(repository)],
    [READER, shippedReader()],
  ];
  if (server !== undefined) {
    const { root, runbook } = server;
    files.push([RECOVERY_PREFIX + serverPageName(root.server), serverPage(root, runbook)]);
  }
  const written: string[] = [];
  for (const [name, content] of files) {
    const bytes = Buffer.from(content);
    if (await holds(backend, name, bytes)) continue;
    await backend.replace(name, bytes);
    written.push(name);
  }
  return written;
}

/** Whether recovery/reader.py is the one that this version brings along. `differs` may be another version's. */
export async function compareReader(backend: Backend): Promise<"same" | "differs" | "absent" | "unreadable"> {
  try {
    if ((await backend.size(READER)) === undefined) return "absent";
    return (await holds(backend, READER, shippedReader())) ? "same" : "differs";
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    return "unreadable";
  }
}

async function holds(backend: Backend, name: string, bytes: Buffer): Promise<boolean> {
  if ((await backend.size(name)) !== bytes.length) return false;
  return (await backend.read(name, bytes.length))?.equals(bytes) === true;
}

function shippedReader(): Buffer {
  return readFileSync(join(PACKAGE_ROOT, "docs/formats/reader.py"));
}
