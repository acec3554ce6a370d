/**
 * What ends a command. A finding (something wrong at the source) is not an error: see manifest/finding.ts.
 *
 * `code` is stable and what programs branch on; the message says what could not be done, then why; the hint
 * says what to try. `context` holds names and numbers, never content of mail. Exit codes: cli/exit-codes.ts.
 */

/** Add a code where a caller has a reason to tell this failure from others; otherwise reuse one. */
export type ErrorCode =
  /** The command line or a setting is wrong. */
  | "USAGE"
  | "REPOSITORY_NOT_FOUND"
  | "REPOSITORY_EXISTS"
  /** Made by a newer cyrvault, or by something else. */
  | "REPOSITORY_VERSION"
  | "LOCKED"
  | "PASSWORD_NEEDED"
  | "PASSWORD_WRONG"
  /** A password was given, the repository has no keys. */
  | "PASSWORD_UNUSED"
  | "KEY_NOT_FOUND"
  | "KEY_AMBIGUOUS"
  /** The key in use, or the last one: without it nobody could be sure to read. */
  | "KEY_NEEDED"
  /** The key in use may write, and this would need one that may read. */
  | "KEY_WRITE_ONLY"
  /** Bytes in the repository are not what was written: checksum, seal, structure, length. */
  | "REPOSITORY_DAMAGED"
  /** This machine has seen a newer state of it. */
  | "REPOSITORY_ROLLED_BACK"
  /** This machine has seen another one in its place. */
  | "REPOSITORY_REPLACED"
  /** No live pack holds an object that something refers to. */
  | "OBJECT_MISSING"
  /** A backend was asked to create a name that exists. */
  | "NAME_EXISTS"
  /** Our run was fenced by a prune: what it relied on may be gone. */
  | "RUN_FENCED"
  | "BACKUP_NOT_FOUND"
  | "BACKUP_AMBIGUOUS"
  | "MAILBOX_NOT_FOUND"
  | "MESSAGE_NOT_FOUND"
  /** A file of Cyrus is not of a form we know. */
  | "CYRUS_BAD_FORMAT"
  /** A file of Cyrus has the right form and a wrong CRC. */
  | "CYRUS_BAD_CHECKSUM"
  /** imapd.conf cannot be read or understood. */
  | "CONFIG_INVALID"
  /** A root of the server is absent, leaves the snapshot, or is not mapped. */
  | "SOURCE_INVALID"
  /** A view of the server could not be taken, was lost while it was read, or could not be given back. */
  | "SNAPSHOT_FAILED"
  | "TARGET_REFUSED"
  | "NO_SPACE"
  /** The operating system refused: `cause` has its error. */
  | "IO"
  | "INTERRUPTED";

export type ErrorContext = Readonly<Record<string, string | number | boolean | bigint | undefined>>;

export interface ErrorOptionsWithHint {
  readonly context?: ErrorContext;
  readonly hint?: string;
  readonly cause?: unknown;
}

export class CyrvaultError extends Error {
  readonly code: ErrorCode;
  readonly context: ErrorContext;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptionsWithHint = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CyrvaultError";
    this.code = code;
    this.context = options.context ?? {};
    this.hint = options.hint;
  }
}

export function isCyrvaultError(error: unknown, code?: ErrorCode): error is CyrvaultError {
  return error instanceof CyrvaultError && (code === undefined || error.code === code);
}

/** The `code` of an error of the operating system (`ENOENT`, `EIO`, …), undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof CyrvaultError) return undefined;
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === "string" ? code : undefined;
}

/** A bug in cyrvault, not a fault of the outside world: never caught to go on. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new TypeError(`cyrvault has a bug: ${message}`);
}
