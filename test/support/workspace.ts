import { chmodSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A temporary directory that user cyrus can enter, removed when the test that made it ends. */
export function makeWorkspace(): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "cyrvault-e2e-")));
  // mkdtemp gives 0700: a server below it could not read its own files.
  chmodSync(directory, 0o755);
  onTestFinished(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}
