import { readFileSync } from "node:fs";
import type { Command } from "../measure/command.ts";
import type { Place, Tool } from "./tool.ts";

/** zstd,3 packs better than borg's default (lz4) and costs little. */
const COMPRESSION = ["--compression", "zstd,3"];

export const borg: Tool = {
  name: "borg",
  version: { argv: ["borg", "--version"] },
  goodExits: [0, 1],
  init: (place) => [command(place, undefined, "init", "--encryption", "repokey", place.repository)],
  backup: (place, { paths }, number) => [
    command(place, undefined, "create", ...COMPRESSION, `${place.repository}::day-${number}`, ...paths),
  ],
  restore: (place, target, number) => [
    command(place, target, "extract", `${place.repository}::day-${number}`),
  ],
};

function command(
  { cache, passwordFile }: Place,
  cwd: string | undefined,
  ...args: readonly string[]
): Command {
  const env = { BORG_BASE_DIR: cache, BORG_PASSPHRASE: readFileSync(passwordFile, "utf8").trim() };
  return { argv: ["borg", ...args], env, ...(cwd === undefined ? {} : { cwd }) };
}
