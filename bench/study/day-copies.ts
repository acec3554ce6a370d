/** Cyrus's own files as they were at the end of each day: what did not change is a hard link to the day before. */
import { copyFileSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

const MESSAGE = /^\d+\.$/;
const LEFT_OUT = /^(run|etc)(\/|$)|^conf\/(lock|proc|socket|log|sync|stats)(\/|$)/;

export interface MessageTotals {
  readonly count: number;
  readonly bytes: number;
}

/** @returns what the messages come to, which are not copied. */
export function copyDay(server: string, before: string | undefined, target: string): MessageTotals {
  let count = 0;
  let bytes = 0;
  for (const path of ownFiles(server, (file) => {
    count++;
    bytes += statSync(file).size;
  })) {
    const from = join(server, path);
    const to = join(target, path);
    mkdirSync(dirname(to), { recursive: true });
    if (before !== undefined && sameContent(join(before, path), from)) linkSync(join(before, path), to);
    else copyFileSync(from, to);
  }
  return { count, bytes };
}

/** Paths of a day's files, in order. */
export function filesOfDay(directory: string): string[] {
  return [...ownFiles(directory, () => undefined)].sort();
}

export function sameFile(before: string, after: string): boolean {
  return statSync(before, { throwIfNoEntry: false })?.ino === statSync(after).ino;
}

function sameContent(before: string, now: string): boolean {
  const size = statSync(before, { throwIfNoEntry: false })?.size;
  return size === statSync(now).size && readFileSync(before).equals(readFileSync(now));
}

function* ownFiles(root: string, onMessage: (file: string) => void, relative = ""): Generator<string> {
  for (const entry of readdirSync(join(root, relative), { withFileTypes: true })) {
    const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
    if (LEFT_OUT.test(path)) continue;
    if (entry.isDirectory()) yield* ownFiles(root, onMessage, path);
    else if (!entry.isFile()) continue;
    else if (MESSAGE.test(entry.name)) onMessage(join(root, path));
    else yield path;
  }
}
