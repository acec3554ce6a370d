/**
 * Makes the golden repositories of the present format version: `npx tsx test/support/make-golden.ts v1`, after
 * `npm run build`. What is there already is never made again: it shows that old repositories can still be read.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { advanceServer } from "../../src/sample/advance.ts";
import { generateServer } from "../../src/sample/generate.ts";
import type { SampleServer } from "../../src/sample/sample-server.ts";
import { type BackupResult, expectCode, runCli, runJson, runJsonLines } from "./cli.ts";
import { GOLDEN_PASSWORD, type GoldenBackup, packTree } from "./golden.ts";
import { readTree } from "./tree-compare.ts";

/** The paths stand in the repository: they must not say whose machine it was. */
const PLACE = "/tmp/cyrvault-golden";
/** The generator's own: no part of the server, and in no backup. */
const GENERATOR_STATE = "sample-state.json";
const SETTLE_MS = 2_200;

const [version = ""] = process.argv.slice(2);
if (!/^v[1-9][0-9]*$/.test(version)) throw new Error("which version? v1, v2, …");
const golden = join(import.meta.dirname, "../golden", version);
if (existsSync(golden)) throw new Error(`${golden} is there: golden repositories are never made again`);

for (const [kind, password] of [
  ["plain", undefined],
  ["encrypted", GOLDEN_PASSWORD],
] as const) {
  rmSync(PLACE, { recursive: true, force: true });
  mkdirSync(PLACE, { recursive: true });
  const backups = await makeRepository(join(PLACE, "repository"), password);
  mkdirSync(join(golden, kind), { recursive: true });
  for (const derived of ["index", "tmp"])
    rmSync(join(PLACE, "repository", derived), { recursive: true, force: true });
  cpSync(join(PLACE, "repository"), join(golden, kind, "repository"), { recursive: true });
  writeFileSync(join(golden, kind, "expected.json.gz"), gzipSync(JSON.stringify(backups), { level: 9 }));
}
rmSync(PLACE, { recursive: true, force: true });

async function makeRepository(repository: string, password: string | undefined): Promise<GoldenBackup[]> {
  const env = password === undefined ? {} : { CYRVAULT_PASSWORD: password };
  const common = { users: 3, foldersPerUser: 3, messages: 500, documentScale: 0.01, textScale: 0.3 };
  const uuid = generateServer(join(PLACE, "uuid"), { ...common, layout: "uuid" });
  const legacy = generateServer(join(PLACE, "legacy"), { ...common, layout: "legacy", seed: 2 });
  const extras = writeExtras(join(PLACE, "uuid/etc/extras"));
  const encryption = password === undefined ? ["--no-encryption"] : [];
  await runJson(["init", "--repo", repository, ...encryption], { env });

  const backups = [await takeBackup("uuid", ["--include", extras])];
  advanceServer(uuid, { day: 1, share: 0.3 });
  backups.push(await takeBackup("uuid", ["--include", extras]));
  backups.push(await takeBackup("legacy", []));
  const mended = damageMessage(uuid);
  backups.push(await takeBackup("uuid", ["--include", extras, "--scrub", "all"], mended));
  const accept = ["findings", "--repo", repository, "--server", "uuid", "--accept", "message-guid-mismatch"];
  expectCode(accept, await runCli(accept, { env }));
  advanceServer(legacy, { day: 1, share: 0.5 });
  backups.push(await takeBackup("legacy", ["--exclude-mailbox", "user.*.Archive*"]));
  await runJson(["check", "--repo", repository, "--read-data"], { env });
  return backups;

  async function takeBackup(
    server: string,
    options: readonly string[],
    wrong: string | null = null,
  ): Promise<GoldenBackup> {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const place = join(PLACE, server);
    const tree = packTree(readTree(place)).filter(([path]) => path !== GENERATOR_STATE);
    const config = ["--config", join(place, "etc/imapd.conf"), "--server", server];
    const result = await runJson<BackupResult>(["backup", "--repo", repository, ...config, ...options], {
      env,
      codes: [0, 3],
    });
    const found = await runJsonLines<{ readonly code: string }>(
      ["findings", "--repo", repository, result.backup],
      { env, codes: [0, 3] },
    );
    const findings: Record<string, number> = {};
    for (const { code } of found) findings[code] = (findings[code] ?? 0) + 1;
    return {
      backup: result.backup,
      server,
      place,
      mailboxes: result.mailboxes.total,
      messages: result.messages.total,
      findings,
      mended: wrong,
      tree,
    };
  }
}

/** Files as no sample server has them: cut by content, so long that their ids have a list of their own, symlinks, odd names. */
function writeExtras(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const words = Array.from({ length: 40_000 }, (_, i) => ((i * 2654435761) % 9973).toString(36)).join(" ");
  writeFileSync(join(directory, "long"), words.repeat(80));
  writeFileSync(join(directory, "short"), "short\n");
  symlinkSync("short", join(directory, "link"));
  // A mailbox list of many users: a database so large that it is stored in pairs.
  const many = join(PLACE, "many");
  generateServer(many, { users: 120, foldersPerUser: 6, messages: 0 });
  cpSync(join(many, "conf/mailboxes.db"), join(directory, "large.db"));
  rmSync(many, { recursive: true });
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/b`), Buffer.of(0xe4), Buffer.from("r\\x5c")]), "");
  return directory;
}

/** @returns the path below the server of a message file of which one byte is wrong now. */
function damageMessage(server: SampleServer): string {
  const root = server.layout.path("");
  for (const [path, entry] of readTree(root)) {
    if (entry.type !== "file" || !/\/[0-9]+\.$/.test(path)) continue;
    const bytes = readFileSync(join(root, path));
    const last = bytes.length - 10;
    bytes[last] = (bytes[last] ?? 0) ^ 1;
    writeFileSync(join(root, path), bytes);
    return path;
  }
  throw new Error("no message");
}
