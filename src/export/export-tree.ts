/** Names in the archive for paths of the server. Looks at nothing on this machine. */
import { type ByteString, joinPath, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { PlaceToRestore } from "../restore/places.ts";
import { isWithin, normalise, type PathMapping, relativeTo } from "../source/view.ts";

export interface ExportRoot {
  /** As on the server. */
  readonly from: ByteString;
  readonly isFile: boolean;
}

export class ExportTree {
  readonly roots: readonly ExportRoot[];
  readonly #mappings: readonly PathMapping[];

  constructor(mappings: readonly PathMapping[], places: readonly PlaceToRestore[]) {
    this.#mappings = [...mappings].sort((a, b) => b.from.length - a.from.length);
    this.roots = places.map(({ path, isFile }) => ({ from: path, isFile }));
    for (const { from } of this.roots) if (!isPath(from) || from === "/") throw notAPath(from);
  }

  /** Relative, as tar wants it. @throws {CyrvaultError} `REPOSITORY_DAMAGED` for a path that lies in no root of the backup. */
  locate(serverPath: ByteString): ByteString {
    if (!isPath(serverPath)) throw notAPath(serverPath);
    const isOurs = this.roots.some(({ from, isFile }) =>
      isFile ? serverPath === from : isWithin(serverPath, from),
    );
    if (!isOurs)
      throw new CyrvaultError(
        "REPOSITORY_DAMAGED",
        `the backup holds a path outside its own roots: ${toText(serverPath)}`,
      );
    const mapping = this.#mappings.find(({ from }) => isWithin(serverPath, from));
    const path =
      mapping === undefined ? serverPath : joinPath(mapping.to, relativeTo(serverPath, mapping.from));
    return path === "/" ? ("." as ByteString) : (path.slice(1) as ByteString);
  }
}

function isPath(path: ByteString): boolean {
  return path.startsWith("/") && !path.includes("\0") && normalise(path) === path;
}

function notAPath(path: ByteString): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_DAMAGED",
    `the backup holds a path that can't be one: ${toText(path)}`,
  );
}
