/** What a sample server does to a file system beyond plain calls. Nothing is synced: it can be made again. */
import { linkSync, mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { systemCode } from "../base/errors.ts";

/** As Cyrus replaces its files: `.NEW` beside it, then a rename. */
export function replaceFile(path: string, content: Uint8Array): void {
  writeFileSync(`${path}.NEW`, content);
  renameSync(`${path}.NEW`, path);
}

/** Makes the directories above it too. */
export function writeFile(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** False where there is nothing to link to, or no more links to it can be. */
export function tryLink(existing: string, path: string): boolean {
  try {
    linkSync(existing, path);
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "EMLINK" || code === "EXDEV") return false;
    throw error;
  }
}

/** 0 for no file. */
export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Moves a directory to a new place, whose parents are made; nothing happens where it is not there. */
export function moveDirectory(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  try {
    renameSync(from, to);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
}
