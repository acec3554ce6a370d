import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import { expect, test } from "vitest";

/** What a folder of src/ may import besides itself. Any folder not named here is a use case. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  base: [],
  backend: ["base"],
  cyrus: ["base"],
  chunker: ["base"],
  store: ["backend", "base"],
  manifest: ["store", "base"],
  source: ["cyrus", "manifest", "base"],
};
const BELOW_USE_CASES = Object.keys(ALLOWED);

/** Use cases that are another one with another end. */
const BUILT_ON: Readonly<Record<string, string>> = { export: "restore" };

/** What the rest may see of backend/: the seam, the one place that names concrete backends, wrappers of any backend. */
const BACKEND_SEAM = [
  "backend.ts",
  "backend-name.ts",
  "open-backend.ts",
  "read-only.ts",
  "retry.ts",
  "limited.ts",
];

/** Bytes in, values out. */
const PURE = ["cyrus", "chunker"];
const OUTSIDE_WORLD = /^node:(fs|net|child_process|http|https|dns|worker_threads|process|os)(\/|$)/;

/** What lies below a repository's directory goes through base/file-system.ts; the LevelDB in index/ does not. */
const BEHIND_THE_SEAM = /^(backend\/|store\/|base\/durable)/;
const KEEPERS_OF_INDEX = ["store/object-index.ts", "store/rebuild-index.ts"];
const FILES = /^node:fs(\/|$)/;

/** Packages that have one home. */
const HOMES: Readonly<Record<string, RegExp>> = {
  commander: /^cli\//,
  level: /^store\//,
  koffi: /^base\/posix/,
};

/** Begins the path of a module that is named from `src/`, not from the file that names it. */
const SOURCE = "./src:";

interface Import {
  readonly specifier: string;
  /** Erased by the compiler: the statement imports types alone. */
  readonly typeOnly: boolean;
}

/** Static, type-only, re-exported and dynamic imports, and modules that begin threads and processes. */
function importsOf(source: string): Import[] {
  const found: Import[] = [];
  for (const match of source.matchAll(/\b(import|export)\b([^;"'`()]*?)\bfrom\s*(["'])([^"']+)\3/g)) {
    const names = (match[2] ?? "").trim();
    const inBraces = /^\{([^}]*)\}$/s.exec(names)?.[1];
    const typeOnly =
      names.startsWith("type ") ||
      inBraces?.split(",").every((name) => name.trim() === "" || name.trim().startsWith("type ")) === true;
    found.push({ specifier: match[4] ?? "", typeOnly });
  }
  for (const match of source.matchAll(/\bimport\s*(?:\(\s*)?(["'`])([^"'`]+)\1/g)) {
    found.push({ specifier: match[2] ?? "", typeOnly: false });
  }
  for (const match of source.matchAll(/\b(?:startThread|entryUrl)\(\s*(["'`])([^"'`]+)\1/g)) {
    found.push({ specifier: `${SOURCE}${match[2]}`, typeOnly: false });
  }
  return found;
}

/** @param file - path below src/ */
function violation(file: string, { specifier, typeOnly }: Import): string | undefined {
  const folder = file.includes("/") ? (file.split("/")[0] as string) : "";
  if (!specifier.startsWith(".")) {
    const name = specifier
      .split("/")
      .slice(0, specifier.startsWith("@") ? 2 : 1)
      .join("/");
    if (HOMES[name]?.test(file) === false) return `${file}: ${name} belongs elsewhere (${HOMES[name]})`;
    if (PURE.includes(folder) && OUTSIDE_WORLD.test(specifier))
      return `${file}: ${folder}/ is pure, no ${specifier}`;
    if (FILES.test(specifier) && BEHIND_THE_SEAM.test(file) && !KEEPERS_OF_INDEX.includes(file))
      return `${file}: files of a repository go through base/file-system.ts, no ${specifier}`;
    return undefined;
  }
  const target = specifier.startsWith(SOURCE)
    ? specifier.slice(SOURCE.length)
    : posix.join(posix.dirname(file), specifier);
  if (target.startsWith("..")) return `${file}: ${specifier} leaves src/`;
  const targetFolder = target.split("/")[0] as string;
  if (targetFolder === folder || folder === "cli") {
    return targetFolder === "backend" && folder !== "backend" ? concrete(file, target) : undefined;
  }
  const allowed = ALLOWED[folder] ?? [...BELOW_USE_CASES, BUILT_ON[folder]];
  if (!allowed.includes(targetFolder)) return `${file}: ${folder}/ must not import ${target}`;
  if (folder === "source" && targetFolder === "manifest" && !typeOnly) {
    return `${file}: source/ takes types alone from ${target}`;
  }
  return targetFolder === "backend" ? concrete(file, target) : undefined;
}

function concrete(file: string, target: string): string | undefined {
  if (BACKEND_SEAM.some((name) => target === `backend/${name}`)) return undefined;
  return `${file}: ${target} is a concrete backend: only backend/open-backend.ts names it`;
}

function violationsBelow(root: string): string[] {
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  if (files.length === 0) throw new Error(`no TypeScript below ${root}: nothing was checked`);
  return files.flatMap((file) => {
    const path = file.replaceAll("\\", "/");
    const imports = importsOf(readFileSync(join(root, file), "utf8"));
    return imports.flatMap((found) => violation(path, found) ?? []);
  });
}

function plant(files: Readonly<Record<string, string>>): string[] {
  const root = mkdtempSync(join(tmpdir(), "cyrvault-layers-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(root, dirname(name)), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    return violationsBelow(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test("imports in src/ go one way", () => {
  expect(violationsBelow(join(import.meta.dirname, "../../src"))).toEqual([]);
});

test("looking at no files is a failure", () => {
  expect(() => plant({ "base/readme.txt": "" })).toThrow("nothing was checked");
});

test.each([
  ["a plain import", "cyrus/a.ts", 'import { b } from "../store/b.ts";'],
  ["an import over several lines", "base/a.ts", 'import {\n  b,\n  c,\n} from "../cyrus/b.ts";'],
  ["an import of types", "store/a.ts", 'import type { B } from "../cyrus/b.ts";'],
  ["a re-export", "manifest/a.ts", 'export * from "../backup/b.ts";'],
  ["a named re-export", "backend/a.ts", 'export { b } from "../store/b.ts";'],
  ["an import for its effects", "chunker/a.ts", 'import "../manifest/b.ts";'],
  ["a dynamic import", "source/a.ts", 'const b = await import("../store/b.ts");'],
  ["a type taken by import()", "store/a.ts", 'let b: import("../manifest/b.ts").B;'],
  ["a worker", "base/a.ts", 'startThread("backup/worker.ts", {});'],
  ["a use case that imports another", "backup/a.ts", 'import { b } from "../restore/b.ts";'],
  ["a use case that imports the one built on it", "restore/a.ts", 'import { b } from "../export/b.ts";'],
  ["a use case that imports the command line", "check/a.ts", 'import { b } from "../cli/b.ts";'],
  ["a concrete backend in a use case", "backup/a.ts", 'import { b } from "../backend/local.ts";'],
  ["a concrete backend on the command line", "cli/a.ts", 'import { b } from "../backend/local.ts";'],
  ["a value of manifest/ in source/", "source/a.ts", 'import { type A, b } from "../manifest/b.ts";'],
  ["files in a pure folder", "cyrus/a.ts", 'import { readFileSync } from "node:fs";'],
  ["a backend's files past the seam", "backend/a.ts", 'import { open } from "node:fs/promises";'],
  ["the store's files past the seam", "store/a.ts", 'import { rm } from "node:fs/promises";'],
  ["a package away from home", "backup/a.ts", 'import { Level } from "level";'],
  ["a way out of src/", "base/a.ts", 'import { b } from "../../test/b.ts";'],
])("%s against the direction is found", (_, file, text) => {
  expect(plant({ [file]: text })).toHaveLength(1);
});

test("imports in the right direction are not violations", () => {
  const files = {
    "cli/main.ts": 'import { b } from "../backup/run.ts";\nimport { c } from "commander";',
    "backup/run.ts": 'import { o } from "../store/o.ts";\nimport { p } from "../backend/open-backend.ts";',
    "export/run.ts": 'import { p } from "../restore/plan.ts";',
    "backup/pipeline/w.ts": 'import { c } from "../../chunker/c.ts";\nimport { r } from "../run.ts";',
    "source/s.ts":
      'import { type A, type B } from "../manifest/m.ts";\nimport type { C } from "../manifest/n.ts";',
    "store/object-index.ts": 'import { rm } from "node:fs/promises";',
    "backend/open-backend.ts": 'import { l } from "./local.ts";',
  };
  expect(plant(files)).toEqual([]);
});
