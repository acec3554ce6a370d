import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateServer } from "../../../src/sample/generate.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { run } from "./fake-terminal.ts";

let dir: TempDir;
beforeAll(() => {
  dir = tempDir();
});
afterAll(() => dir.remove());

function sizeOf(repo: string): number {
  const sizes = ["packs", "segments", "backups"].flatMap((part) =>
    readdirSync(join(repo, part), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => statSync(join(entry.parentPath, entry.name)).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

test("stored is what the repository has grown by, to the byte, in the backup's result and in the list", async () => {
  const [server, repo] = [dir.in("server"), dir.in("repository")];
  const { configPath } = generateServer(server, { users: 1, foldersPerUser: 1, messages: 6, days: 3 });
  const env = { CYRVAULT_REPO: repo, CYRVAULT_CACHE_DIR: "" };
  await run(["init", "--no-encryption"], { env });
  const stored: number[] = [];
  const back = async (code: number) => {
    const before = stored.reduce((sum, bytes) => sum + bytes, 0);
    const result = await run(["backup", "--quiet", "--json", "--config", configPath], { env });
    expect(result.code).toBe(code);
    stored.push(JSON.parse(result.stdout).bytes.stored);
    expect(stored.at(-1)).toBe(sizeOf(repo) - before);
  };
  await back(0);
  await back(0);
  // Pages of findings are written last.
  const spool = readdirSync(join(server, "spool"), { recursive: true, encoding: "utf8" });
  rmSync(join(server, "spool", spool.find((name) => /\/\d+\.$/.test(name)) ?? ""));
  await back(3);
  const { stdout } = await run(["list", "--json"], { env });
  const lines = stdout.trim().split("\n");
  expect(lines.map((line) => JSON.parse(line).stored)).toEqual(stored);
});
