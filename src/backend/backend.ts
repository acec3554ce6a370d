/**
 * The seam between the repository and where its files lie. A backend keeps named, immutable files: what they
 * mean is the store's affair. Every implementation and every wrapper passes test/conformance/backend.
 *
 * Names are relative paths of the store's own making (`packs/3f/3f0a…`): `[0-9A-Za-z._-]` and `/`, no part that
 * begins with a dot, nothing below `tmp/` and `index/` (which a local repository uses itself).
 * Anything else is a bug of the caller and an assertion: backend/backend-name.ts.
 *
 * Errors: absence is a value (undefined, false). A failure of the operating system is a CyrvaultError `IO`
 * (`NO_SPACE` for ENOSPC and EDQUOT) with its `cause`; EIO is never «not there».
 */

export interface BackendFile {
  readonly name: string;
  readonly bytes: number;
}

export interface BackendProperties {
  /** For messages: `local directory /backup/cyrus`. */
  readonly description: string;
  /** The repository's directory on this machine, with `index/` free for a LevelDB; undefined for remote ones. */
  readonly localDirectory: string | undefined;
  /** How many calls may usefully run at once. */
  readonly connections: number;
}

export interface Backend {
  readonly properties: BackendProperties;

  /**
   * Makes a file with these bytes. When the promise resolves, content, name and newly made parents are durable.
   * After a crash or a failure the name is either absent or complete, never partial.
   * @throws {CyrvaultError} `NAME_EXISTS` without touching what is there.
   */
  create(name: string, bytes: Uint8Array): Promise<void>;

  /** Begins a file that is too large to hold in memory. The name appears only at `commit`. */
  begin(name: string): Promise<BackendWriter>;

  /** Like `create`, but puts the new content in place of the old, atomically and durably, whether or not it was there. */
  replace(name: string, bytes: Uint8Array): Promise<void>;

  /** The whole file, or undefined when there is none. @param maxBytes - a larger file is `REPOSITORY_DAMAGED`. */
  read(name: string, maxBytes: number): Promise<Buffer | undefined>;

  /**
   * A range of a file, in a buffer that is the caller's own; undefined when there is no such file. A negative `offset` counts from the end.
   * A range that is not wholly inside the file is `REPOSITORY_DAMAGED`: what we wrote has been cut.
   */
  readRange(name: string, offset: number, length: number): Promise<Buffer | undefined>;

  /** Size in bytes, or undefined. */
  size(name: string): Promise<number | undefined>;

  /**
   * All complete files whose names begin with `prefix` (a directory with its slash), in no particular order.
   * Files of unfinished writes are not listed. An absent directory is empty.
   */
  list(prefix: string): AsyncIterable<BackendFile>;

  /** True when it was there. Durable when the promise resolves. */
  remove(name: string): Promise<boolean>;

  close(): Promise<void>;
}

/** One writer, one file. Calls may not overlap. */
export interface BackendWriter {
  /** The bytes may be reused once the promise has resolved. After a failure nothing but `abort` makes sense. */
  append(bytes: Uint8Array): Promise<void>;
  /**
   * Makes the file durable under its name. After an `IO` failure it may be called again: it then finishes what is
   * left to do, or fails again. Does nothing after it has succeeded.
   * @throws {CyrvaultError} `NAME_EXISTS`: what is there is not touched, what was appended is gone.
   */
  commit(): Promise<void>;
  /** Leaves nothing behind. Does nothing after `commit`. */
  abort(): Promise<void>;
}
