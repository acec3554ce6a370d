import type { Command } from "../measure/command.ts";
import type { Place, Sources, Tool } from "./tool.ts";

export const restic: Tool = {
  name: "restic",
  version: { argv: ["restic", "version"] },
  goodExits: [0],
  init: (place) => [command(place, "init")],
  backup: (place, { paths }: Sources) => [command(place, "backup", "--quiet", ...paths)],
  restore: (place, target) => [command(place, "restore", "--quiet", "latest", "--target", target)],
};

function command({ repository, cache, passwordFile }: Place, ...args: readonly string[]): Command {
  return { argv: ["restic", "-r", repository, "-p", passwordFile, "--cache-dir", cache, ...args] };
}
