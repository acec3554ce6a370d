/** Golden repositories: what test/golden/ holds of each format version. Made once by make-golden.ts, read for ever. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { Tree, TreeEntry } from "./tree-compare.ts";

export const GOLDEN_PASSWORD = "golden";

export interface GoldenBackup {
  readonly backup: string;
  readonly server: string;
  /** Where that server lay: an absolute path, below which a restore's target has the tree again. */
  readonly place: string;
  readonly mailboxes: number;
  readonly messages: number;
  /** By code, of all severities. */
  readonly findings: Readonly<Record<string, number>>;
  /** A path below `place` whose content the backup has as read and as good; what was read does not come back. */
  readonly mended: string | null;
  readonly tree: readonly (readonly [path: string, entry: GoldenEntry])[];
}

type GoldenEntry = Omit<TreeEntry, "mtimeNs" | "sha256" | "target"> & {
  readonly mtimeNs: string;
  readonly sha256: string | null;
  readonly target: string | null;
};

export function packTree(tree: Tree): GoldenBackup["tree"] {
  const inodes = new Map<string, string>();
  return [...tree].map(([path, entry]) => {
    const inode = inodes.get(entry.inode) ?? String(inodes.size);
    inodes.set(entry.inode, inode);
    const { sha256 = null, target = null, mtimeNs, ...rest } = entry;
    return [path, { ...rest, inode, sha256, target, mtimeNs: String(mtimeNs) }];
  });
}

export function unpackTree(tree: GoldenBackup["tree"]): Map<string, TreeEntry> {
  const unpacked = new Map<string, TreeEntry>();
  for (const [path, { sha256, target, mtimeNs, ...rest }] of tree)
    unpacked.set(path, {
      ...rest,
      sha256: sha256 ?? undefined,
      target: target ?? undefined,
      mtimeNs: BigInt(mtimeNs),
    });
  return unpacked;
}

export function readGoldenBackups(directory: string): GoldenBackup[] {
  return JSON.parse(gunzipSync(readFileSync(`${directory}/expected.json.gz`)).toString("utf8"));
}
