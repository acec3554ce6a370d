import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { errnoError, ioError } from "../../../src/base/io-error.ts";
import { main } from "../../../src/cli/main.ts";
import { generateServer } from "../../../src/sample/generate.ts";
import { run } from "./fake-terminal.ts";

const EPIPE = 32;

test("an archive that nobody reads to its end is said to be none, and is exit code 1", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cyrvault-export-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const [repo, server] = [join(directory, "r"), join(directory, "server")];
  generateServer(server, { users: 1, foldersPerUser: 1, messages: 3, days: 3 });
  await run(["init", "--no-encryption", "--repo", repo]);
  await run(["backup", "--quiet", "--repo", repo, "--config", join(server, "etc/imapd.conf")]);
  let stderr = "";
  const code = await main(["export", "--quiet", "--repo", repo, "latest", "--tar"], {
    env: {},
    outIsTerminal: false,
    errIsTerminal: false,
    canAsk: false,
    columns: 80,
    out: () => Promise.reject(ioError("cannot write", errnoError(EPIPE, "write"))),
    err: (text) => {
      stderr += text;
    },
    askSecret: () => Promise.reject(new Error("nobody is asked")),
  });
  expect(code).toBe(1);
  expect(stderr).toContain("not whole");
});
