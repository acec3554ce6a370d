/** What a repair has cut out of a backup: a restore names it again. */
import type { ByteString } from "../base/byte-string.ts";
import type { Finding } from "../manifest/finding.ts";
import { findingPages, severityPrefix } from "../manifest/finding-page.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";
import { isUnreadable } from "../manifest/sufferers.ts";
import type { RestoreFindings } from "./findings.ts";
import type { RestoreSelection } from "./selection.ts";

/** More are shown by `cyrvault findings` alone. */
const KEPT_MAX = 10_000;

export class LostFindings {
  /** By mailbox; under undefined what is of none, or of mailboxes that are not known any more. */
  readonly #found: ReadonlyMap<ByteString | undefined, readonly Finding[]>;

  private constructor(found: ReadonlyMap<ByteString | undefined, readonly Finding[]>) {
    this.#found = found;
  }

  static async read(root: ManifestRoot, source: PageSource): Promise<LostFindings> {
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
    return new LostFindings(found);
  }

  /** Of a mailbox; undefined: of none. What is not asked for is not named. */
  name(mailbox: ByteString | undefined, selection: RestoreSelection, findings: RestoreFindings): void {
    for (const { path, uid, message } of this.#found.get(mailbox) ?? [])
      if (uid === undefined ? !selection.messagesOnly || mailbox !== undefined : selection.takesMessage(uid))
        findings.add("not-in-backup", "error", path, message);
  }
}
