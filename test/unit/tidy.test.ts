import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, extname, join, relative } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const NOT_OURS = ["node_modules", "dist", ".git", "coverage", "package-lock.json"];
/** Bytes made elsewhere. */
const DATA = ["test/fixtures", "test/golden", "bench/results"];
const TEXT = ["", ".ts", ".js", ".mjs", ".json", ".md", ".sh", ".yml", ".yaml"];

/** The one place that may leave a suite out, loudly. */
const MAY_SKIP = "test/support/describe-with.ts";

/** Spelt in two halves, so that this file passes its own check. */
const LEFTOVER = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|")})\\b`);
const LEFT_OUT = /\b(describe|test|it|suite|bench)(\.\w+)*\.(only|skip|todo|skipIf|runIf)\b|\bctx\.skip\(/;
const OF_THIS_MACHINE = new RegExp(`(?<![\\w.}-])/(${["wo" + "rk", "ro" + "ot"].join("|")})/`);

function filesBelow(root: string, directory = root): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    const below = relative(root, path);
    if (NOT_OURS.includes(entry.name) || DATA.includes(below)) return [];
    if (entry.isDirectory()) return filesBelow(root, path);
    return entry.isFile() && TEXT.includes(extname(entry.name)) ? [below] : [];
  });
}

function untidy(root: string): string[] {
  const files = filesBelow(root);
  if (files.length === 0) throw new Error(`no files below ${root}: nothing was checked`);
  return files.flatMap((file) => {
    const text = readFileSync(join(root, file), "utf8");
    const found = text.split("\n").flatMap((line, i) => {
      const at = `${file}:${i + 1}`;
      const problems: string[] = [];
      if (LEFTOVER.test(line)) problems.push(`${at}: something left to do`);
      if (file.endsWith(".ts") && file !== MAY_SKIP && LEFT_OUT.test(line))
        problems.push(`${at}: a test left out`);
      if (OF_THIS_MACHINE.test(line)) problems.push(`${at}: a path of one machine`);
      return problems;
    });
    return file.endsWith(".md") ? [...found, ...untidyMarkdown(root, file, text)] : found;
  });
}

function untidyMarkdown(root: string, file: string, text: string): string[] {
  const prose = text.replace(/^(```|~~~)[\s\S]*?^\1[^\n]*$/gm, "");
  const problems: string[] = [];
  const titles = prose.match(/^# .*$/gm) ?? [];
  if (titles.length !== 1) problems.push(`${file}: ${titles.length} titles`);
  for (const match of prose.replace(/`[^`\n]*`/g, "").matchAll(/\]\(<?([^)\s>]+)>?[^)]*\)/g)) {
    const link = match[1] ?? "";
    if (/^[a-z][a-z0-9+.-]*:/i.test(link)) continue;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? join(root, file) : join(root, dirname(file), decodeURIComponent(path));
    if (!existsSync(target)) problems.push(`${file}: the link to ${link} is dead`);
    else if (anchor !== undefined && target.endsWith(".md") && !anchorsOf(target).includes(anchor)) {
      problems.push(`${file}: nothing in ${path === "" ? file : path} is called #${anchor}`);
    }
  }
  return problems;
}

/** Headings as web viewers turn them into anchors: lower case, punctuation gone, blanks to hyphens. */
function anchorsOf(path: string): string[] {
  const headings = readFileSync(path, "utf8").match(/^#+ .*$/gm) ?? [];
  return headings.map((heading) =>
    heading
      .replace(/^#+ /, "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-"),
  );
}

function plant(files: Readonly<Record<string, string>>): string[] {
  const root = mkdtempSync(join(tmpdir(), "cyrvault-tidy-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(root, dirname(name)), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    return untidy(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test("the project is tidy", () => {
  expect(untidy(ROOT)).toEqual([]);
});

test("looking at no files is a failure", () => {
  expect(() => plant({ "node_modules/x/index.js": "" })).toThrow("nothing was checked");
});

test.each([
  ["something left to do", "src/a.ts", `// ${"TO" + "DO"}: later`],
  ["a test that is left out", "test/a.test.ts", `test.${"skip"}("x", () => {});`],
  ["a suite that runs alone", "test/a.test.ts", `describe.${"only"}("x", () => {});`],
  [
    "a test that is left out for each value",
    "test/a.test.ts",
    `test.concurrent.${"skip"}.each([1])("x", () => {});`,
  ],
  ["a path of one machine", "docs/a.md", `# A\n\nSee ${"/wo" + "rk"}/notes.`],
  ["a path of one machine in quotes", "src/a.ts", `const a = "${"/ro" + "ot"}/x";`],
  ["a page without a title", "docs/a.md", "## A\n"],
  ["a page with two titles", "docs/a.md", "# A\n\n# B\n"],
  ["a dead link", "docs/a.md", "# A\n\n[b](b.md)\n"],
  ["a link to a heading that is not there", "docs/a.md", "# A\n\n[b](#b)\n"],
])("%s is found", (_, file, text) => {
  expect(plant({ [file]: text })).toHaveLength(1);
});

test("titles in code, links to headings and to the web are no problem", () => {
  const page =
    "# A page\n\n```\n# not a title\n```\n\n## Its part\n\n[x](#its-part) [y](https://example.org/z) [z](b.md)\n";
  expect(plant({ "docs/a.md": page, "docs/b.md": "# B\n" })).toEqual([]);
});
