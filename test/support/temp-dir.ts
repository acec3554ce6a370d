import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** `using dir = tempDir();`: a new directory, gone with everything in it at the end of the block. */
export interface TempDir extends Disposable {
  readonly path: string;
  /** A path in it. */
  in(...parts: string[]): string;
  remove(): void;
}

export function tempDir(): TempDir {
  const path = mkdtempSync(join(realpathSync(tmpdir()), "cyrvault-test-"));
  const remove = () => rmSync(path, { recursive: true, force: true });
  return { path, in: (...parts) => join(path, ...parts), remove, [Symbol.dispose]: remove };
}
