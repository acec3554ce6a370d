/** Names of the owners that occur, so that a restore on another machine finds them by name. */
import { fromText } from "../base/byte-string.ts";
import { groupName, userName } from "../base/posix-owners.ts";
import { readSourceFile } from "../source/read-file.ts";
import type { SourceView } from "../source/view.ts";

const FILE_BYTES_MAX = 16 * 1024 * 1024;

export class OwnerNames {
  readonly #uids = new Set<number>();
  readonly #gids = new Set<number>();

  note(uid: number, gid: number): void {
    this.#uids.add(uid);
    this.#gids.add(gid);
  }

  /**
   * A snapshot may be another machine's: its own passwd and group come first, then what this machine knows.
   * @param known - of the parent backup: owners of what was not looked at this time.
   */
  resolve(
    view: SourceView,
    known: {
      readonly users: Readonly<Record<string, string>>;
      readonly groups: Readonly<Record<string, string>>;
    },
  ): { users: Record<string, string>; groups: Record<string, string> } {
    return {
      users: names(
        this.#uids,
        known.users,
        view.isMapped ? readNames(view, "/etc/passwd") : undefined,
        userName,
      ),
      groups: names(
        this.#gids,
        known.groups,
        view.isMapped ? readNames(view, "/etc/group") : undefined,
        groupName,
      ),
    };
  }
}

function names(
  ids: ReadonlySet<number>,
  known: Readonly<Record<string, string>>,
  ofSnapshot: ReadonlyMap<number, string> | undefined,
  ofMachine: (id: number) => string | undefined,
): Record<string, string> {
  const result: Record<string, string> = { ...known };
  for (const id of ids) {
    const name = ofSnapshot?.get(id) ?? ofMachine(id);
    if (name !== undefined) result[id] = name;
  }
  return Object.fromEntries(Object.entries(result).sort(([a], [b]) => Number(a) - Number(b)));
}

/** `name:x:id:…` (passwd(5), group(5)). */
function readNames(view: SourceView, path: string): ReadonlyMap<number, string> | undefined {
  const resolved = view.resolve(fromText(path));
  const file = resolved === undefined ? undefined : readSourceFile(resolved.realPath, FILE_BYTES_MAX);
  if (file === undefined) return undefined;
  const found = new Map<number, string>();
  for (const line of file.bytes.toString("utf8").split("\n")) {
    const [name, , id] = line.split(":");
    if (name && id && /^\d+$/.test(id) && !found.has(Number(id))) found.set(Number(id), name);
  }
  return found;
}
