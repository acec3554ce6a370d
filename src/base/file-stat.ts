/** What lstat said. Times in ns since the epoch. Inode numbers beyond 2^53 are folded: compare, never open by them. */
export interface FileStat {
  /** Type and permission bits, as in st_mode. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: number;
  readonly links: number;
}
