/** The roots of a backup: where its paths begin. */
import { type ByteString, pathKey } from "../base/byte-string.ts";
import { filePages } from "../manifest/file-page.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { findInPageTree } from "../manifest/read-page-tree.ts";
import { isLost } from "../manifest/sound-pages.ts";
import { isDirectory } from "./require-sound.ts";
import type { ManifestPlace } from "./selection.ts";

export interface PlaceToRestore {
  /** As on the server. */
  readonly path: ByteString;
  /** A file of its own: nothing else in its directory is ours. */
  readonly isFile: boolean;
}

export function placesOf({ roots }: ManifestRoot): ManifestPlace[] {
  return roots.map(({ kind, name, path }) => ({ kind, name, path }));
}

/** What is included by name is looked up: it may be a directory or a file. */
export async function findFiles(
  places: readonly ManifestPlace[],
  root: ManifestRoot,
  source: PageSource,
): Promise<PlaceToRestore[]> {
  const found: PlaceToRestore[] = [];
  for (const { kind, path } of places) {
    const isFile = kind === "file" || (kind === "include" && (await isFileIn(root, path, source)));
    found.push({ path, isFile });
  }
  return found;
}

async function isFileIn(root: ManifestRoot, path: ByteString, source: PageSource): Promise<boolean> {
  try {
    const entry = await findInPageTree(root.files, pathKey(path), source, filePages);
    return entry !== undefined && !isDirectory(entry.stat);
  } catch (error) {
    if (!isLost(error)) throw error;
    return false;
  }
}
