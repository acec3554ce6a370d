/** Mailboxes of which a backup keeps header and index alone, because it was told to leave them out. */
import { type ByteString, toText } from "../base/byte-string.ts";
import type { LeftOut, ManifestRoot } from "./model.ts";

const REASON = "mailbox excluded";
/** Older backups hold nothing at all of an excluded mailbox. */
const HEADER_KEPT = "its header and index are kept";

/** @param option - what has left it out: `--exclude-mailbox`. */
export function excludedMailbox(name: ByteString, option: string): LeftOut {
  return { path: toText(name), reason: `${REASON} (${option}); ${HEADER_KEPT}`, files: 0, bytes: 0 };
}

const known = new WeakMap<ManifestRoot["leftOut"], ReadonlySet<string>>();

/** Whether an entry of the mailbox tree is that of an excluded mailbox. */
export function isExcludedEntry({ leftOut }: Pick<ManifestRoot, "leftOut">, name: ByteString): boolean {
  let names = known.get(leftOut);
  if (names === undefined) {
    names = new Set(leftOut.filter(isKeptInPart).map(({ path }) => path));
    known.set(leftOut, names);
  }
  return names.size > 0 && names.has(toText(name));
}

/** Excluded mailboxes, as text for people. @param mayBeEmpty - those whose header the backup has, too. */
export function excludedNames({ leftOut }: Pick<ManifestRoot, "leftOut">, mayBeEmpty: boolean): string[] {
  return leftOut
    .filter((one) => one.reason.startsWith(REASON) && (mayBeEmpty || !isKeptInPart(one)))
    .map(({ path }) => path);
}

function isKeptInPart({ reason }: LeftOut): boolean {
  return reason.startsWith(REASON) && reason.endsWith(HEADER_KEPT);
}
