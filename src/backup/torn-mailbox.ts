/**
 * Pieces of one mailbox that each are sound and do not go together: what a cut between two writes leaves. Pure. The
 * order of Cyrus's writes: imap/mailbox.c (mailbox_commit, mailbox_index_repack), imap/mboxlist.c (mboxlist_renamemailbox).
 */
import { type ByteString, toText } from "../base/byte-string.ts";
import type { FindingCode, Severity } from "../manifest/finding.ts";

export interface MailboxPieces {
  /** As the mailbox list has it; undefined: it is not listed. */
  readonly listed: { readonly name: ByteString; readonly uniqueid: ByteString | undefined } | undefined;
  /** As cyrus.header has it: the name since 3.6. */
  readonly header:
    | { readonly name: ByteString | undefined; readonly uniqueId: ByteString | undefined }
    | undefined;
  /** A rename writes the header, too: true of directories that are named by uniqueid. */
  readonly isNamedByHeader: boolean;
  readonly indexGeneration: number | undefined;
  /** The first four bytes of cyrus.cache; undefined: there is none that long. */
  readonly cacheGeneration: number | undefined;
}

export interface Torn {
  readonly code: FindingCode;
  readonly severity: Severity;
  /** The file that it is said of. */
  readonly file: "cyrus.header" | "cyrus.cache";
  readonly message: string;
}

export function tornPieces({ listed, header, ...pieces }: MailboxPieces): Torn[] {
  const { isNamedByHeader, indexGeneration, cacheGeneration } = pieces;
  const torn: Torn[] = [];
  if (
    header?.uniqueId !== undefined &&
    listed?.uniqueid !== undefined &&
    header.uniqueId !== listed.uniqueid
  ) {
    torn.push({
      code: "uniqueid-duplicate",
      severity: "warning",
      file: "cyrus.header",
      message: `its uniqueid is ${toText(header.uniqueId)}, the mailbox list says ${toText(listed.uniqueid)}`,
    });
  }
  if (isNamedByHeader && header?.name !== undefined && listed !== undefined && header.name !== listed.name) {
    torn.push({
      code: "header-list-mismatch",
      severity: "warning",
      file: "cyrus.header",
      message: `its header calls the mailbox ${toText(header.name)}, the mailbox list has another name for it: a rename was under way`,
    });
  }
  if (indexGeneration !== undefined && cacheGeneration !== undefined && indexGeneration !== cacheGeneration) {
    torn.push({
      code: "cache-generation-mismatch",
      severity: "note",
      file: "cyrus.cache",
      message: `cyrus.cache is of generation ${cacheGeneration}, cyrus.index of ${indexGeneration}: a repack was under way`,
    });
  }
  return torn;
}
