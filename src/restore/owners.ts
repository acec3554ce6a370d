/** Who owns what is restored, on this machine. */
import { groupId, userId } from "../base/posix-owners.ts";
import type { FileStat, ManifestRoot } from "../manifest/model.ts";
import type { Attributes } from "./attributes.ts";
import type { RestoreOptions } from "./options.ts";

/** Owners are found by name, since numbers differ between machines; by number where the name is not known. */
export class Owners {
  readonly #root: ManifestRoot;
  readonly #fixed: RestoreOptions["owner"];
  readonly #unknown: (name: string) => void;
  readonly #uids = new Map<number, number>();
  readonly #gids = new Map<number, number>();

  constructor(root: ManifestRoot, fixed: RestoreOptions["owner"], unknown: (name: string) => void) {
    this.#root = root;
    this.#fixed = fixed;
    this.#unknown = unknown;
  }

  /** What is restored gets these. @param stat - as on the server. */
  attributes({ mode, uid, gid, mtimeNs }: Pick<FileStat, "mode" | "uid" | "gid" | "mtimeNs">): Attributes {
    return { mode, ...this.#of(uid, gid), mtimeNs };
  }

  #of(uid: number, gid: number): { uid: number; gid: number } {
    if (this.#fixed !== undefined) return this.#fixed;
    return {
      uid: this.#find(this.#uids, uid, this.#root.users, userId, "user"),
      gid: this.#find(this.#gids, gid, this.#root.groups, groupId, "group"),
    };
  }

  #find(
    known: Map<number, number>,
    id: number,
    names: Readonly<Record<string, string>>,
    lookUp: (name: string) => number | undefined,
    what: string,
  ): number {
    const before = known.get(id);
    if (before !== undefined) return before;
    const name = names[id];
    const here = name === undefined ? undefined : lookUp(name);
    if (name !== undefined && here === undefined) this.#unknown(`the ${what} ${name} (${id})`);
    known.set(id, here ?? id);
    return here ?? id;
  }
}
