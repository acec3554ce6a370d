/** From what a person writes for a mailbox to the entry of a backup. */
import { type ByteString, fromText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { nameFromExternal } from "../cyrus/mailbox-name.ts";
import { compileNamePattern, type NameMatcher } from "../cyrus/mailbox-name-pattern.ts";
import { fromModifiedUtf7, toModifiedUtf7 } from "../cyrus/modified-utf7.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import type { MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { findInPageTree, readPageTree } from "../manifest/read-page-tree.ts";

export function isPattern(mailbox: string): boolean {
  return /[*%]/.test(mailbox);
}

/** As in IMAP LIST. Takes names in UTF-8 as well as in the modified UTF-7 that Cyrus keeps. */
export function mailboxMatcher(pattern: string): NameMatcher {
  const matches = compileNamePattern(fromText(pattern));
  if (/^[\x20-\x7e]*$/.test(pattern)) return matches;
  return (name) => matches(name) || matches(fromText(fromModifiedUtf7(name)));
}

/** In order of their names. */
export async function* matchingMailboxes(
  root: ManifestRoot,
  source: PageSource,
  pattern: string | undefined,
): AsyncGenerator<MailboxEntry> {
  const matches = pattern === undefined ? () => true : mailboxMatcher(pattern);
  for await (const entry of readPageTree(root.mailboxes, source, mailboxPages))
    if (matches(entry.name)) yield entry;
}

/** By internal name, or by external name; undefined where the backup has none of that name. */
export async function lookUpMailbox(
  root: ManifestRoot,
  source: PageSource,
  mailbox: string,
): Promise<MailboxEntry | undefined> {
  for (const name of namesMeant(mailbox)) {
    const entry = await findInPageTree(root.mailboxes, name, source, mailboxPages);
    if (entry !== undefined) return entry;
  }
  return undefined;
}

/** @throws {CyrvaultError} `MAILBOX_NOT_FOUND`. */
export async function findMailbox(
  root: ManifestRoot,
  source: PageSource,
  mailbox: string,
): Promise<MailboxEntry> {
  const entry = await lookUpMailbox(root, source, mailbox);
  if (entry !== undefined) return entry;
  throw new CyrvaultError("MAILBOX_NOT_FOUND", `backup ${root.backup} has no mailbox ${mailbox}`, {
    hint: `\`cyrvault ls ${root.backup}\` shows what it has`,
  });
}

function namesMeant(mailbox: string): Set<ByteString> {
  const names = new Set<ByteString>();
  for (const written of [mailbox, toModifiedUtf7(mailbox)]) {
    const bytes = fromText(written);
    names.add(bytes);
    const readings = bytes.includes("/") ? [true, false] : bytes.includes("@") ? [false] : [];
    for (const unixHierarchySeparator of readings)
      for (const virtualDomains of [true, false]) {
        const name = nameFromExternal(bytes, { unixHierarchySeparator, virtualDomains });
        if (name !== undefined) names.add(name);
      }
  }
  return names;
}
