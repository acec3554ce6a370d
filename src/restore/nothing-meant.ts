/** What is said when nothing of a backup is meant: it has nothing of the kind, or what it has cannot be read. */
import { CyrvaultError } from "../base/errors.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { RestoreOptions } from "./options.ts";
import type { RestoreSelection } from "./selection.ts";

interface Counts {
  readonly mailboxes: number;
  readonly messages: number;
}

/**
 * A name that no mailbox has is a mistake, whatever else is meant: the restore would lack what was asked for. A pattern
 * may match nothing where something else is meant.
 *
 * @param found - what is meant, of what can be read.
 * @param lost - of which it is not known what it is.
 * @throws {CyrvaultError} `MAILBOX_NOT_FOUND`, `MESSAGE_NOT_FOUND`, `REPOSITORY_DAMAGED`.
 */
export function requireSomeMeant(
  root: ManifestRoot,
  { mailboxes, users, uids }: Pick<RestoreOptions, "mailboxes" | "users" | "uids">,
  found: Counts,
  lost: Counts,
  absent: RestoreSelection["absent"],
): void {
  if (found.mailboxes > 0 && uids !== undefined && found.messages === 0)
    throw noMessageMeant(root, lost.messages);
  if (mailboxes.length + users.length > 0 && found.mailboxes === 0)
    throw noMailboxMeant(root, lost.mailboxes, absent);
  // What cannot be read may be what is missed: it is named as damaged.
  const named = absent.mailboxes.filter((mailbox) => !/[*%]/.test(mailbox));
  if (lost.mailboxes === 0 && absent.users.length + named.length > 0)
    throw noMailboxMeant(root, 0, { ...absent, mailboxes: named });
}

/**
 * A backup of every day has its other parts, or its server had none of the kind; dumps are there only when they were asked for.
 *
 * @throws {CyrvaultError} `USAGE`.
 */
export function requireDumpsIfMeant(
  { backup }: ManifestRoot,
  { only }: Pick<RestoreOptions, "only">,
  found: { readonly mailboxes: number; readonly files: number },
  lost: { readonly files: number },
): void {
  const isMeant = only.length > 0 && only.every(({ part }) => part === "text-dumps");
  if (isMeant && found.mailboxes + found.files + lost.files === 0)
    throw new CyrvaultError("USAGE", `${backup} has no text dumps`, {
      hint: "it was made without --text-dumps; cyrvault ls BACKUP --text-dumps lists those of another",
    });
}

function noMailboxMeant(
  { backup }: ManifestRoot,
  lost: number,
  { users, mailboxes }: RestoreSelection["absent"],
): CyrvaultError {
  if (lost > 0)
    return new CyrvaultError(
      "REPOSITORY_DAMAGED",
      `none of the mailboxes that can be read is meant, and ${lost} cannot be read`,
      { hint: "cyrvault check tells what is damaged; another backup may have them" },
    );
  const by = [...users.map((user) => `--user ${user}`), ...mailboxes.map((name) => `--mailbox ${name}`)];
  return new CyrvaultError("MAILBOX_NOT_FOUND", `no mailbox of this backup is meant by ${by.join(", ")}`, {
    hint: `cyrvault ls ${backup} lists them; names are internal (user.anna.Work) or external (user/anna/Work)`,
  });
}

function noMessageMeant({ backup }: ManifestRoot, lost: number): CyrvaultError {
  if (lost > 0)
    return new CyrvaultError(
      "REPOSITORY_DAMAGED",
      `none of the messages that can be read has such a UID, and ${lost} cannot be read`,
      { hint: "cyrvault check tells what is damaged; another backup may have them" },
    );
  return new CyrvaultError("MESSAGE_NOT_FOUND", "none of these mailboxes has a message with such a UID", {
    hint: `cyrvault ls ${backup} MAILBOX lists them; an earlier backup may have what was expunged`,
  });
}
