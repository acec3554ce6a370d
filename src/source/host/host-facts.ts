/** What the doctor asks of the machine it runs on: everything that a test makes up. */
import type { ByteString } from "../../base/byte-string.ts";

export interface HostProcess {
  readonly pid: number;
  readonly parent: number;
  /** The owner's. */
  readonly uid: number;
  readonly args: readonly ByteString[];
}

export interface HostStat {
  readonly type: "file" | "directory" | "symlink" | "special";
  readonly device: bigint;
  readonly inode: bigint;
  readonly uid: number;
}

export interface Space {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Absence is `undefined` everywhere, and so is what this user may not see, unless said. */
export interface HostFacts {
  /** `/proc/self/mountinfo`, empty where there is none. */
  readonly mountInfo: ByteString;
  readonly processes: readonly HostProcess[];
  /** Who asks. */
  readonly uid: number;
  /** What a process holds open, as its links say; undefined: not for this user, or gone. */
  openFiles(pid: number): readonly ByteString[] | undefined;
  /** Of these, what lies in one of `directories` and it may write to. */
  openForWriting(pid: number, directories: readonly ByteString[]): readonly ByteString[] | undefined;
  /** @throws {CyrvaultError} `IO`, `SOURCE_INVALID` for what is there and cannot be read. */
  readFile(path: ByteString): Buffer | undefined;
  /** Names in a directory, in byte order. */
  list(path: ByteString): readonly ByteString[] | undefined;
  /** Follows no link. */
  stat(path: ByteString): HostStat | undefined;
  /** All links followed. */
  realPath?(path: ByteString): ByteString | undefined;
  space(path: ByteString): Space | undefined;
  /** `LVM-…` and the name, of a device `MAJOR:MINOR` that the device mapper made. */
  deviceMapper(device: string): { readonly uuid: string; readonly name: string } | undefined;
  /** Names of the whole disks below a device file; empty where the system does not tell. */
  disksOf(deviceFile: ByteString): readonly string[];
  /** Standard output of a program that changes nothing; undefined where it is absent or fails. */
  run(program: string, args: readonly string[]): string | undefined;
}
