import type { Command } from "../measure/command.ts";
import type { Place, Sources, Tool } from "./tool.ts";

export class Cyrvault implements Tool {
  readonly name = "cyrvault";
  /** 3: something at the source could not be read. */
  readonly goodExits = [0, 3];
  readonly #script: string;

  /** @param script - the built command line. */
  constructor(script: string) {
    this.#script = script;
  }

  get version(): Command {
    return { argv: ["node", this.#script, "--version"] };
  }

  init(place: Place): Command[] {
    return [this.command(place, "init")];
  }

  backup(place: Place, sources: Sources): Command[] {
    return [this.command(place, "backup", ...this.#source(sources))];
  }

  /** Says where the server's files lie. */
  dryRun(place: Place, sources: Omit<Sources, "paths">): Command {
    return this.command(place, "backup", ...this.#source(sources), "--dry-run");
  }

  restore(place: Place, target: string): Command[] {
    return [this.command(place, "restore", "latest", "--target", target)];
  }

  command({ repository, passwordFile }: Place, name: string, ...args: readonly string[]): Command {
    const common = ["--repo", repository, "--password-file", passwordFile];
    return { argv: ["node", this.#script, name, ...common, ...args, "--json", "--quiet"] };
  }

  #source({ imapdConf, root }: Omit<Sources, "paths">): string[] {
    return ["--config", imapdConf, ...(root === "/" ? [] : ["--root", root])];
  }
}
