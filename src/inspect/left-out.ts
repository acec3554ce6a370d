/** What a backup left out on purpose: paths as on the server. */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { filePages } from "../manifest/file-page.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";

/** Of a directory that is left out only the directory itself is named. */
export async function* leftOutPaths(root: ManifestRoot, source: PageSource): AsyncGenerator<ByteString> {
  for await (const { path, leftOut } of readPageTree(root.files, source, filePages))
    if (leftOut !== undefined) yield path;
  for await (const { directories, files } of readPageTree(root.mailboxes, source, mailboxPages)) {
    for (const { directory, name, leftOut } of files) {
      const above = directories[directory];
      if (leftOut !== undefined && above !== undefined) yield joinPath(above.path, name);
    }
  }
}
