/** The servers that are backed up: generated ones, made once and reused, or a real one. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Command, commandText } from "../measure/command.ts";
import { contentsOf } from "../measure/disk.ts";
import { run } from "../measure/run.ts";
import type { TreeFacts } from "../report/result.ts";
import type { Cyrvault } from "../tools/cyrvault.ts";
import type { Place, Sources } from "../tools/tool.ts";

/** Of the mailboxes: how many change on a day. */
export const DAY_SHARE = 0.05;

/** Longer than the time in which a change might be missed: cyrvault reads mailboxes again that are younger than 2 s. */
const SETTLE_MS = 2100;

const GENERATE = ["node", "--import", "tsx", "bench/generate.ts"];

export interface Tree {
  readonly sources: Sources;
  /** Directories with message files. */
  readonly partitions: readonly string[];
  readonly facts: TreeFacts;
  /** For what is worked out once; undefined for a real spool. */
  readonly directory: string | undefined;
  /** One more day; undefined for a real spool. @returns the command. */
  readonly nextDay: (() => Promise<string>) | undefined;
}

/** @param parameters - of bench/generate.ts. @param directory - for all trees. */
export async function generatedTree(
  parameters: readonly string[],
  directory: string,
  cyrvault: Cyrvault,
): Promise<Tree> {
  const key = createHash("sha256").update(parameters.join(" ")).digest("hex").slice(0, 12);
  const home = join(directory, key);
  const server = join(home, "server");
  const marker = join(home, "tree.json");
  const command = { argv: [...GENERATE, server, ...parameters] };
  if (!existsSync(marker)) {
    rmSync(home, { recursive: true, force: true });
    mkdirSync(home, { recursive: true });
    writeFileSync(marker, await generate(command));
    await setTimeout(SETTLE_MS);
  }
  const { messages, mailboxes } = JSON.parse(readFileSync(marker, "utf8"));
  const source = { imapdConf: join(server, "etc/imapd.conf"), root: "/" };
  const { sources: found, partitions } = await locate(source, directory, cyrvault);
  // Cyrvault also keeps a few files of the machine itself, such as /etc/pam.d/imap: not what is compared.
  const sources = { ...found, paths: found.paths.filter((path) => path.startsWith(`${server}/`)) };
  return {
    sources,
    partitions,
    facts: { ...contentsOf(sources.paths), messages, mailboxes, command: commandText(command) },
    directory: home,
    nextDay: async () => {
      // A tree with days added is another one: the next run makes it anew.
      rmSync(marker, { force: true });
      const day = { argv: [...GENERATE, server, "--advance", "1", "--share", String(DAY_SHARE)] };
      await generate(day);
      await setTimeout(SETTLE_MS);
      return commandText(day);
    },
  };
}

export async function realTree(
  source: Omit<Sources, "paths">,
  scratch: string,
  cyrvault: Cyrvault,
): Promise<Tree> {
  const { sources, partitions, mailboxes, messages } = await locate(source, scratch, cyrvault);
  return {
    sources,
    partitions,
    facts: { ...contentsOf(sources.paths), messages, mailboxes, command: "a real spool" },
    directory: undefined,
    nextDay: undefined,
  };
}

async function generate(command: Command): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command);
  if (exitCode !== 0) throw new Error(`${commandText(command)} ended with ${exitCode}: ${stderr}`);
  return stdout.toString("utf8");
}

interface Located {
  readonly sources: Sources;
  readonly partitions: readonly string[];
  readonly mailboxes: number;
  readonly messages: number;
}

/** Asks cyrvault what it would back up: the others get the same. */
async function locate(source: Omit<Sources, "paths">, scratch: string, cyrvault: Cyrvault): Promise<Located> {
  const home = join(scratch, `look-${process.pid}`);
  mkdirSync(home, { recursive: true });
  try {
    const place: Place = {
      repository: join(home, "repository"),
      cache: home,
      passwordFile: join(home, "password"),
    };
    writeFileSync(place.passwordFile, "look\n");
    const commands = [...cyrvault.init(place), cyrvault.dryRun(place, source)];
    let stdout = "";
    for (const command of commands) stdout = await generate(command);
    const { roots, mailboxes, messagesToReadAtMost } = JSON.parse(stdout) as DryRun;
    const paths = [...new Set(roots.map(({ readFrom }) => readFrom))].filter((path) =>
      statSync(path, { throwIfNoEntry: false }),
    );
    const partitions = roots.filter(({ kind }) => kind === "partition").map(({ readFrom }) => readFrom);
    return {
      sources: { ...source, paths: outermost(paths) },
      partitions: outermost(partitions),
      mailboxes: mailboxes.total,
      messages: messagesToReadAtMost,
    };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

interface DryRun {
  readonly roots: readonly { readonly kind: string; readonly readFrom: string }[];
  readonly mailboxes: { readonly total: number };
  readonly messagesToReadAtMost: number;
}

/** Without the paths that lie in another one. */
export function outermost(paths: readonly string[]): string[] {
  return paths.filter((path) => !paths.some((other) => other !== path && path.startsWith(`${other}/`)));
}
