/** What a repair has cut out of a backup: a restore names it again. */
import type { ByteString } from "../base/byte-string.ts";
import type { Finding } from "../manifest/finding.ts";
import { findingPages, severityPrefix } from "../manifest/finding-page.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";
import { isUnreadable } from "../manifest/sufferers.ts";

/** More are shown by `cyrvault findings` alone. */
const KEPT_MAX = 10_000;

/** By mailbox; under undefined what is of none, or of mailboxes that are not known any more. */
export type LostFindings = ReadonlyMap<ByteString | undefined, readonly Finding[]>;

export async function readLostFindings(root: ManifestRoot, source: PageSource): Promise<LostFindings> {
  const found = new Map<ByteString | undefined, Finding[]>();
  const from = `${severityPrefix("error")}lost-in-repository\0` as ByteString;
  const to = `${severityPrefix("error")}lost-in-repository\x01` as ByteString;
  let count = 0;
  try {
    for await (const finding of readPageTree(root.findings, source, findingPages, { from, to })) {
      const list = found.get(finding.mailbox) ?? [];
      list.push(finding);
      found.set(finding.mailbox, list);
      if (++count >= KEPT_MAX) break;
    }
  } catch (error) {
    if (!isUnreadable(error)) throw error;
  }
  return found;
}
