/** The commands and what is common to them, as commander sees them. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { CyrvaultError } from "../base/errors.ts";
import type { Act, Register } from "./command.ts";
import { registerBackup } from "./commands/backup.ts";
import { registerCat } from "./commands/cat.ts";
import { registerCheck } from "./commands/check.ts";
import { registerDemo } from "./commands/demo.ts";
import { registerDiff } from "./commands/diff.ts";
import { registerFindings } from "./commands/findings.ts";
import { registerInit } from "./commands/init.ts";
import { registerList } from "./commands/list.ts";
import { registerLs } from "./commands/ls.ts";
import { registerRebuildIndex } from "./commands/rebuild-index.ts";
import { registerRestore } from "./commands/restore.ts";
import { registerStats } from "./commands/stats.ts";
import type { ExitCode } from "./exit-codes.ts";
import type { CommonOptions, Session } from "./session.ts";

const COMMANDS: readonly Register[] = [
  registerInit,
  registerBackup,
  registerList,
  registerLs,
  registerRestore,
  registerCat,
  registerDiff,
  registerCheck,
  registerStats,
  registerFindings,
  registerRebuildIndex,
  registerDemo,
];

export interface ProgramOptions {
  readonly writeOut: (text: string) => void;
  readonly openSession: (common: CommonOptions) => Session;
  readonly onExitCode: (code: ExitCode) => void;
}

export function createProgram(options: ProgramOptions): Command {
  const program = new Command("cyrvault")
    .description("Incremental, deduplicating backups of Cyrus IMAP servers")
    .version(version(), "--version", "print the version")
    .option("-r, --repo <place>", "the repository: a directory or a URL (or $CYRVAULT_REPO)")
    .option(
      "-p, --password-file <file>",
      "its password is in a file (or $CYRVAULT_PASSWORD_FILE, $CYRVAULT_PASSWORD)",
    )
    .option("--json", "results as JSON on standard output, progress as JSON on standard error")
    .option("-q, --quiet", "no progress")
    .option("-v, --verbose", "more about what happens; with an error, where it arose")
    .helpOption("-h, --help", "what a command takes, with an example")
    .helpCommand("help [command]", "what a command takes, with an example")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: options.writeOut, writeErr: () => undefined, outputError: () => undefined })
    .exitOverride();
  const act: Act = (command, handler) => {
    command.action(async (...given: unknown[]) => {
      const own = given.at(-2) as never;
      const args = given.slice(0, -2).flat() as string[];
      const session = options.openSession(command.optsWithGlobals<CommonOptions>());
      const code = await handler(
        session,
        args.filter((arg) => arg !== undefined),
        own,
      );
      if (code !== undefined) options.onExitCode(code);
    });
  };
  for (const register of COMMANDS) register(program, act);
  program.addHelpText("after", `\nExample:\n  cyrvault backup --repo /backup/cyrus --root /mnt/snapshot\n`);
  return program;
}

/**
 * What commander has to say, as an error of ours.
 * @returns undefined where there is nothing to complain of: help or the version was asked for.
 */
export function usageError(error: CommanderError, command: string | undefined): CyrvaultError | undefined {
  if (error.exitCode === 0) return undefined;
  const help = command === undefined ? "cyrvault --help" : `cyrvault ${command} --help`;
  if (error.code === "commander.help") {
    return new CyrvaultError("USAGE", "no command is given", { hint: `\`${help}\` lists them` });
  }
  const [first = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
  const meant = suggestion === undefined ? "" : `${suggestion.replace(/^\(|\)$/g, "")} `;
  return new CyrvaultError("USAGE", first, { hint: `${meant}\`${help}\` shows what there is` });
}

export function isUsageError(error: unknown): error is CommanderError {
  return error instanceof CommanderError;
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
