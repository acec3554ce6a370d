/** Findings about what was not looked at this time still hold: they are taken over with it. */
import type { ByteString } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { FindingCode } from "../manifest/finding.ts";
import { findingPages } from "../manifest/finding-page.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";
import { lstatSource } from "../source/read-file.ts";
import type { SourceView } from "../source/view.ts";
import type { FindingSink } from "./finding-sink.ts";

/** Said when a file or directory is read; silent while it is taken over. */
const ABOUT_FILES: ReadonlySet<FindingCode> = new Set(["attributes-not-kept", "special-file"]);

/** @param isThere - whether there still is such a file (a special one, for `special-file`). */
export async function carryOverFindings(
  parent: ManifestRoot | undefined,
  source: PageSource,
  isUnchanged: (mailbox: ByteString) => boolean,
  isThere: (code: FindingCode, path: ByteString) => boolean,
  findings: FindingSink,
): Promise<void> {
  if (parent === undefined) return;
  for await (const { code, severity, path, message, mailbox, uid } of readPageTree(
    parent.findings,
    source,
    findingPages,
  )) {
    const stillHolds =
      mailbox === undefined ? ABOUT_FILES.has(code) && isThere(code, path) : isUnchanged(mailbox);
    if (!stillHolds || FROM_THE_LIST.has(code)) continue;
    findings.add(code, severity, path, message, {
      ...(mailbox === undefined ? {} : { mailbox }),
      ...(uid === undefined ? {} : { uid }),
    });
  }
}

/** Made anew by every survey. */
const FROM_THE_LIST: ReadonlySet<FindingCode> = new Set([
  "mailbox-missing",
  "mailbox-unlisted",
  "mailbox-name-invalid",
  "uniqueid-duplicate",
]);

/** Whether there still is what a finding was about: a file, a special one for `special-file`. */
export function isThere(view: SourceView, code: FindingCode, path: ByteString): boolean {
  try {
    const found = lstatSource(view.locate(path));
    return code === "special-file" ? found?.type === "special" : found?.type === "file";
  } catch (error) {
    if (!isCyrvaultError(error, "IO")) throw error;
    return true;
  }
}
