/** Looks a few levels below the roots of mailboxes and configuration for what a snapshot of the root would not hold. */
import { type ByteString, joinPath } from "../../base/byte-string.ts";
import { isCyrvaultError } from "../../base/errors.ts";
import { listDirectory } from "../list-directory.ts";
import { lstatSource } from "../read-file.ts";
import { outermostRoots, type ServerRoot } from "../roots.ts";
import type { SourceView } from "../view.ts";

/** Paths as on the server. */
export type Oddity =
  | {
      readonly kind: "symlink";
      readonly path: ByteString;
      /** undefined: it leads to nothing. */
      readonly target: ByteString | undefined;
      readonly otherDevice: boolean;
    }
  /** A directory on another device than the one above it. */
  | { readonly kind: "other-device"; readonly path: ByteString; readonly inode: bigint }
  | { readonly kind: "unreadable"; readonly path: ByteString; readonly message: string };

export interface LookedBelow {
  readonly oddities: readonly Oddity[];
  readonly listed: number;
  /** False: there was more than `LISTINGS_MAX`. */
  readonly whole: boolean;
}

/** Old servers have their links and mounts at `spool/a` or `spool/domain/a/example.org`. */
export const LEVELS = 3;
export const LISTINGS_MAX = 5_000;

/** Where mail is put together before it is delivered: nothing of it is kept. */
const STAGING = /^(stage|sync)\.$/;

interface Place {
  readonly path: ByteString;
  readonly realPath: ByteString;
  readonly device: bigint;
  readonly level: number;
}

export function lookBelow(view: SourceView, roots: readonly ServerRoot[]): LookedBelow {
  const oddities: Oddity[] = [];
  const queue: Place[] = [];
  for (const { kind, path, realPath } of outermostRoots(roots)) {
    if (kind === "file" || kind === "include") continue;
    const stat = lstatSource(realPath);
    if (stat?.type === "directory") queue.push({ path, realPath, device: stat.device, level: 1 });
  }
  let listed = 0;
  for (const place of queue) {
    if (listed >= LISTINGS_MAX) return { oddities, listed, whole: false };
    listed++;
    try {
      lookAt(view, place, oddities, queue);
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      oddities.push({ kind: "unreadable", path: place.path, message: error.message });
    }
  }
  return { oddities, listed, whole: true };
}

function lookAt(view: SourceView, place: Place, oddities: Oddity[], queue: Place[]): void {
  const { path, realPath, device, level } = place;
  const listing = listDirectory(realPath, "count");
  for (const name of listing?.symlinks ?? []) {
    const link = joinPath(path, name);
    const target = follow(view, link);
    const found = target === undefined ? undefined : lstatSource(target.realPath);
    if (target !== undefined && found?.type !== "directory") continue;
    const otherDevice = found !== undefined && found.device !== device;
    oddities.push({ kind: "symlink", path: link, target: target?.serverPath, otherDevice });
  }
  for (const name of listing?.directories ?? []) {
    if (STAGING.test(name)) continue;
    const child = joinPath(path, name);
    const realChild = joinPath(realPath, name);
    const stat = lstatSource(realChild);
    if (stat?.type !== "directory") continue;
    if (stat.device !== device)
      oddities.push({ kind: "other-device", path: child, inode: BigInt(stat.stat.inode) });
    else if (level < LEVELS) queue.push({ path: child, realPath: realChild, device, level: level + 1 });
  }
}

/** A loop of links leads to nothing, as does a way that this user may not go. */
function follow(view: SourceView, link: ByteString): ReturnType<SourceView["resolve"]> {
  try {
    return view.resolve(link);
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    return undefined;
  }
}
