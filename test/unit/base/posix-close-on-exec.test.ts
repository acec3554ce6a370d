import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { Level } from "level";
import { expect, test } from "vitest";
import { keepFilesFromChildren } from "../../../src/base/posix-close-on-exec.ts";
import { tempDir } from "../../support/temp-dir.ts";

test("files that LevelDB has open reach no program that is started", async () => {
  const dir = tempDir();
  const level = new Level(join(dir.in("index")));
  await level.open();
  const inherited = () => spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" }).stdout;
  expect(inherited()).toContain("LOCK");
  keepFilesFromChildren();
  expect(inherited()).not.toContain("LOCK");
  await level.close();
  dir.remove();
});
