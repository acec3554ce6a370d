import type { Command } from "../measure/command.ts";
import type { Place, Tool } from "./tool.ts";

const NAME = "server";

/** Not encrypted: it cannot be. */
export const bup: Tool = {
  name: "bup",
  version: { argv: ["bup", "--version"] },
  goodExits: [0],
  init: (place) => [command(place, "init")],
  backup: (place, { paths }) => [
    command(place, "index", ...paths),
    command(place, "save", "--quiet", "--name", NAME, ...paths),
  ],
  restore: (place, target) => [command(place, "restore", "--quiet", "-C", target, `/${NAME}/latest/.`)],
};

function command({ repository }: Place, ...args: readonly string[]): Command {
  return { argv: ["bup", "-d", repository, ...args] };
}
