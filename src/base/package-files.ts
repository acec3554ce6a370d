/** Where this package's own files lie, whether its modules are run as they were written or as they were built. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { assert } from "./errors.ts";

/** In a build a module is somewhere in `dist/`, together with others: its place says nothing of its name. */
export const RUNS_FROM_SOURCE = import.meta.url.endsWith(".ts");

/** The directory that holds package.json. */
export const PACKAGE_ROOT = rootAbove(import.meta.dirname);

/** @param source - a module that begins a thread or a process, below `src/`; named in package.json's `build`. */
export function entryUrl(source: string): URL {
  const path = RUNS_FROM_SOURCE ? join("src", source) : join("dist", source.replace(/\.ts$/, ".js"));
  return pathToFileURL(join(PACKAGE_ROOT, path));
}

function rootAbove(directory: string): string {
  for (let at = directory; ; at = dirname(at)) {
    if (existsSync(join(at, "package.json"))) return at;
    assert(at !== dirname(at), "no package.json above its modules");
  }
}
