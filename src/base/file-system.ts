/**
 * The seam between a repository in a directory and the operating system: every operation that writes or reads its
 * files is one of these, so that a test can put a simulated disk behind them, cut its power or make it fail. The one
 * real implementation is node-file-system.ts. (`index/` is not written through it: a LevelDB, which may go at any time.)
 *
 * Failures are bare system errors (`code`: `ENOENT`, `EIO`, …): callers know what they were about. Nothing is durable
 * but what was synced: a file's content by its own `sync`, a name by that of the directory it is in.
 */

/** Numbers as Node gives them. */
export interface FileStats {
  readonly size: number;
  /** By the clock of whoever keeps the files. */
  readonly mtimeMs: number;
  isFile(): boolean;
  isDirectory(): boolean;
}

/** An entry that is neither a file nor a directory is a symlink, something odd, or of a kind that is not told. */
export interface DirectoryEntry {
  readonly name: string;
  isFile(): boolean;
  isDirectory(): boolean;
}

export interface OpenFile {
  /** May read less than asked for; 0 bytes: the end. */
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  /** Behind what was written before. May write less than asked for. */
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: null,
  ): Promise<{ readonly bytesWritten: number }>;
  sync(): Promise<void>;
  stat(): Promise<FileStats>;
  close(): Promise<void>;
}

export interface FileSystem {
  /** A new file, to write; `EEXIST` where there is something. @param mode - permission bits, less the umask. */
  create(path: string, mode: number): Promise<OpenFile>;
  /** A file to read, or a directory to sync. */
  open(path: string): Promise<OpenFile>;
  /** A second name; `EEXIST` where there is something. */
  link(from: string, to: string): Promise<void>;
  /** Replaces what is there. */
  rename(from: string, to: string): Promise<void>;
  renameNoReplace(from: string, to: string): Promise<"renamed" | "exists" | "unsupported">;
  unlink(path: string): Promise<void>;
  mkdir(path: string, mode: number): Promise<void>;
  /** Follows symlinks. */
  stat(path: string): Promise<FileStats>;
  /** Does not. */
  lstat(path: string): Promise<FileStats>;
  /** Equal for two names of one file, without following symlinks. */
  identify(path: string): Promise<string>;
  /** In no order. */
  entries(path: string): AsyncIterable<DirectoryEntry>;
}
