/** Directories of a restore: made before what lies in them, given their mode, owner and time after it. */
import type { ByteString } from "../base/byte-string.ts";
import type { FileStat } from "../manifest/model.ts";
import { type Attributes, applyTime, setDirectoryMode, setOwner } from "./attributes.ts";
import type { RestoreFindings } from "./findings.ts";
import type { TargetTree } from "./target-tree.ts";

interface KnownDirectory {
  /** As on the server. */
  readonly path: ByteString;
  readonly stat: FileStat;
}

/** A directory that the backup does not know lies above what it does know. */
const UNKNOWN_MODE = 0o755;

export class RestoredDirectories {
  readonly #tree: TargetTree;
  readonly #attributes: (stat: FileStat) => Attributes;
  readonly #findings: RestoreFindings;
  /** By their real path. */
  readonly #known = new Map<ByteString, KnownDirectory>();

  constructor(tree: TargetTree, attributes: (stat: FileStat) => Attributes, findings: RestoreFindings) {
    this.#tree = tree;
    this.#attributes = attributes;
    this.#findings = findings;
  }

  /** @param isOurs - false: if it is there already it keeps the attributes that it has. */
  make(real: ByteString, { path, stat }: KnownDirectory, isOurs: boolean): void {
    if (this.#known.has(real)) return;
    this.#tree.ensureDirectory(real);
    if (isOurs || this.#tree.made.has(real)) this.#known.set(real, { path, stat });
  }

  /** Those that had to be made on the way, and of which nothing is known yet. */
  get hasUnknown(): boolean {
    for (const real of this.#tree.made) if (!this.#known.has(real)) return true;
    return false;
  }

  /** What the backup says of a directory on the way. */
  describe({ path, stat }: KnownDirectory): void {
    const real = this.#tree.locate(path);
    if (this.#tree.made.has(real) && !this.#known.has(real)) this.#known.set(real, { path, stat });
  }

  finish(): void {
    for (const real of this.#tree.made)
      if (!this.#known.has(real) && !setDirectoryMode(real, UNKNOWN_MODE)) this.#findings.addNotOurs(real);
    // The innermost first: afterwards we may no longer be let in.
    const all = [...this.#known].sort(([a], [b]) => b.length - a.length);
    for (const [real, { path, stat }] of all) {
      const attributes = this.#attributes(stat);
      if (!setOwner(real, attributes)) this.#findings.addOwnerNotSet(path);
      const hasMode = setDirectoryMode(real, attributes.mode);
      if (!applyTime(real, attributes.mtimeNs) || !hasMode) this.#findings.addNotOurs(path);
    }
  }
}
