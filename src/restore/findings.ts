/** What a restore could not put back as it was: collected while it runs, the first thousand kept. */
import { type ByteString, toText } from "../base/byte-string.ts";
import type { MailboxEntry } from "../manifest/model.ts";
import type { PageKey } from "../manifest/page-codec.ts";
import type { LostPage } from "../manifest/sound-pages.ts";
import type { RestoreFinding } from "./options.ts";
import type { EntryKind } from "./selected-entries.ts";
import type { WriteOutcome } from "./write-file.ts";

const FINDINGS_SHOWN = 1000;

/** Paths are the server's. */
export class RestoreFindings {
  readonly shown: RestoreFinding[] = [];
  #total = 0;
  #incomplete = false;
  #ownersRefused = false;

  get total(): number {
    return this.#total;
  }

  /** Something did not come back. */
  get incomplete(): boolean {
    return this.#incomplete;
  }

  add(
    code: RestoreFinding["code"],
    severity: RestoreFinding["severity"],
    path: ByteString,
    message: string,
  ): void {
    this.#total++;
    if (severity === "error") this.#incomplete = true;
    if (this.shown.length < FINDINGS_SHOWN) this.shown.push({ code, severity, path, message });
  }

  addOutcome(path: ByteString, { became, ownerSet }: WriteOutcome): void {
    if (became === "kept") this.add("differs-kept", "note", path, "was there already and was left as it is");
    if (!ownerSet) this.addOwnerNotSet(path);
  }

  /** Owners are one finding, whatever there is to restore. */
  addOwnerNotSet(path: ByteString): void {
    if (this.#ownersRefused) return;
    this.#ownersRefused = true;
    this.add(
      "owner-not-set",
      "warning",
      path,
      "owners can be set by root only: everything belongs to the user who restores",
    );
  }

  addNotInBackup(path: ByteString): void {
    this.add("not-in-backup", "error", path, "the backup could not read this file, so it has nothing of it");
  }

  addNotOurs(path: ByteString): void {
    this.add(
      "attributes-not-set",
      "warning",
      path,
      "belongs to somebody else: its mode and time stay as they are",
    );
  }

  addSetIdDropped(path: ByteString): void {
    this.add(
      "set-id-dropped",
      "warning",
      path,
      "had a set-user-id or set-group-id bit, and comes back without it: if it is a program of yours, set it by chmod",
    );
  }

  /** @param mailbox - of messages. */
  addLost(what: EntryKind, { entries, firstKey, reason }: LostPage<PageKey>, mailbox?: MailboxEntry): void {
    const name = what === "mailboxes" ? firstKey : (mailbox?.directories[0]?.path ?? mailbox?.name);
    const path = (name ?? "/") as ByteString;
    const first = firstKey === undefined ? "" : toText(String(firstKey).replaceAll("\0", "/") as ByteString);
    const from = first === "" ? "" : ` from ${first} on`;
    this.add("object-damaged", "error", path, `not restored: ${entries} ${what}${from}: ${reason}`);
  }
}
