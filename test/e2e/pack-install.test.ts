import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeWorkspace } from "../support/workspace.ts";

const PROJECT = join(import.meta.dirname, "../..");

function npm(args: readonly string[], cwd: string): string {
  // Where the npm that runs the tests is at work must not be taken for where this one is.
  const foreign = /^(npm_config_local_prefix|npm_package_.*|npm_lifecycle_.*|npm_command|INIT_CWD)$/;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  return execFileSync("npm", [...args], { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

test("what npm pack makes can be installed elsewhere and runs", () => {
  const workspace = makeWorkspace();
  npm(["pack", "--pack-destination", workspace], PROJECT);
  const tarball = readdirSync(workspace).find((name) => name.endsWith(".tgz"));
  const home = join(workspace, "home");
  mkdirSync(home);
  writeFileSync(join(home, "package.json"), '{ "name": "somewhere-else", "private": true }\n');
  npm(
    ["install", "--prefer-offline", "--no-audit", "--no-fund", join(workspace, tarball ?? "no tarball")],
    home,
  );
  const { version } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8")) as { version: string };
  const run = (...args: string[]) =>
    npm(["exec", "--offline", "--no", "--", "cyrvault", ...args], home).trim();
  expect(run("--version")).toBe(version);
  expect(run("--help")).toContain("backup");
  const repository = join(workspace, "repository");
  run("init", "--repo", repository, "--no-encryption");
  const reader = readFileSync(join(PROJECT, "docs/formats/reader.py"), "utf8");
  expect(readFileSync(join(repository, "recovery/reader.py"), "utf8")).toBe(reader);
});

test("a clone that is installed has the command line built", () => {
  const clone = join(makeWorkspace(), "clone");
  const apart = ["node_modules", "dist", ".git"].map((name) => join(PROJECT, name));
  cpSync(PROJECT, clone, { recursive: true, filter: (path) => !apart.includes(path) });
  npm(["ci", "--prefer-offline", "--no-audit", "--no-fund"], clone);
  const output = execFileSync(process.execPath, [join(clone, "bin/cyrvault.js"), "--help"], {
    encoding: "utf8",
  });
  expect(output).toContain("backup");
});
