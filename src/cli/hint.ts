/** What to try, for errors that know no better themselves. */
import { type ErrorCode, isCyrvaultError } from "../base/errors.ts";

const CHECK = "`cyrvault check` says what else is damaged, `cyrvault repair --dry-run` what can be done";
const SOURCE = "`cyrvault doctor` says how this server looks to a backup";
const AGAIN = "look at the disk and the kernel's log, then run it again; `--verbose` says where it arose";

const BY_CODE: Readonly<Record<ErrorCode, string>> = {
  USAGE: "the command with --help shows what it takes",
  REPOSITORY_NOT_FOUND: "is its disk mounted? `cyrvault init` makes a new one",
  REPOSITORY_EXISTS: "use it as it is, or name another place",
  REPOSITORY_VERSION: "use the version of cyrvault that wrote it, or a newer one",
  LOCKED: "wait for the other command with --lock-wait; `cyrvault unlock` lists who is at work",
  PASSWORD_NEEDED: "use --password-file FILE, --key-file FILE, $CYRVAULT_PASSWORD_FILE or $CYRVAULT_PASSWORD",
  PASSWORD_WRONG: "try another password, a key file or a paper key (--key-file)",
  PASSWORD_UNUSED: "leave the password out, if this is the repository that is meant",
  KEY_NOT_FOUND: "`cyrvault key list` shows what there is",
  KEY_AMBIGUOUS: "say more of its id: `cyrvault key list`",
  KEY_NEEDED: "add another key first: `cyrvault key add`",
  KEY_WRITE_ONLY: "use a key that may read",
  REPOSITORY_DAMAGED: CHECK,
  REPOSITORY_ROLLED_BACK: "look who has put back an older state",
  REPOSITORY_REPLACED: "look who has put another repository there",
  OBJECT_MISSING: CHECK,
  NAME_EXISTS: "run it again",
  RUN_FENCED: "run it again: what was stored so far serves the next run",
  BACKUP_NOT_FOUND: "`cyrvault list` shows what there is",
  BACKUP_AMBIGUOUS: "say more of its id: `cyrvault list`",
  MAILBOX_NOT_FOUND: "`cyrvault ls BACKUP` shows what a backup has",
  MESSAGE_NOT_FOUND:
    "`cyrvault ls BACKUP MAILBOX` shows what there is; an earlier backup may have what was expunged",
  CYRUS_BAD_FORMAT: SOURCE,
  CYRUS_BAD_CHECKSUM: SOURCE,
  CONFIG_INVALID: "look at that line, or name another configuration with --config",
  SOURCE_INVALID: SOURCE,
  SNAPSHOT_FAILED: "the same with --dry-run says what would be taken; `--verbose` says where it arose",
  TARGET_REFUSED: "choose an empty place below which nobody else writes",
  NO_SPACE: "make room, and run it again",
  IO: AGAIN,
  INTERRUPTED: "run it again",
};

/** Its own, or that of the error behind it that knows one, or what helps with errors of its code. */
export function hintOf(error: unknown): string {
  let first: string | undefined;
  for (let at = error, depth = 0; isCyrvaultError(at) && depth < 8; at = at.cause, depth++) {
    if (at.hint !== undefined) return at.hint;
    first ??= BY_CODE[at.code];
  }
  return first ?? "this is a bug in cyrvault: please report it with the output of --verbose";
}
