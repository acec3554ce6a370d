/** What `--text-dumps` has put into a backup. */
import { type ByteString, joinPath, pathKey, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { readContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import type { Content, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { findInPageTree } from "../manifest/read-page-tree.ts";
import { TEXT_DUMP_NAMES, textDumpDirectory } from "../manifest/text-dumps.ts";

export interface TextDump {
  readonly name: string;
  /** As a restore would name it. */
  readonly path: string;
  readonly bytes: number;
  readonly content: Content;
}

/** By name; none where the backup was made without. @throws {CyrvaultError} `REPOSITORY_DAMAGED`, `OBJECT_MISSING`. */
export async function textDumpsOf(
  root: Pick<ManifestRoot, "roots" | "files">,
  source: PageSource,
): Promise<TextDump[]> {
  const found: TextDump[] = [];
  for (const place of root.roots.filter(({ kind }) => kind === "config"))
    for (const name of TEXT_DUMP_NAMES) {
      const path = joinPath(textDumpDirectory(place.path), name as ByteString);
      const entry = await findInPageTree(root.files, pathKey(path), source, filePages);
      if (entry?.content !== undefined)
        found.push({ name, path: toText(path), bytes: entry.stat.size, content: entry.content });
    }
  return found;
}

/** @throws {CyrvaultError} `USAGE`: there is none of that name; as above. */
export async function textDumpBytes(
  root: Pick<ManifestRoot, "backup" | "roots" | "files">,
  name: string,
  source: PageSource,
): Promise<AsyncIterable<Uint8Array>> {
  const dumps = await textDumpsOf(root, source);
  const dump = dumps.find((one) => one.name === name);
  if (dump !== undefined) return readContent(dump.content, source);
  const hint =
    dumps.length === 0
      ? "it was made without --text-dumps"
      : `it has ${dumps.map((one) => one.name).join(", ")}`;
  throw new CyrvaultError("USAGE", `${root.backup} has no text dump ${name}`, { hint });
}
