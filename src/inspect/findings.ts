/** The findings of a backup, with what has been accepted since. */
import { AcceptRules } from "../manifest/accept-rules.ts";
import type { Finding } from "../manifest/finding.ts";
import { findingPages } from "../manifest/finding-page.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";

/** Errors first. @param acceptRules - of the server, as they are now. */
export async function* listFindings(
  root: ManifestRoot,
  source: PageSource,
  acceptRules: readonly string[],
): AsyncGenerator<Finding> {
  const rules = new AcceptRules(acceptRules);
  for await (const finding of readPageTree(root.findings, source, findingPages))
    yield rules.accepts(finding) ? { ...finding, accepted: true } : finding;
}
