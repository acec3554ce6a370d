/** The commands and what is common to them, as commander sees them. */
import { Command, CommanderError } from "commander";
import { CyrvaultError } from "../base/errors.ts";
import type { Act, Register } from "./command.ts";
import type { ExitCode } from "./exit-codes.ts";
import type { CommonOptions, Session } from "./session.ts";
import { version } from "./version.ts";

/** In the order of the help. Loaded when needed: what a command brings along takes longer to load than it takes to list backups. */
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  init: async () => (await import("./commands/init.ts")).registerInit,
  backup: async () => (await import("./commands/backup.ts")).registerBackup,
  list: async () => (await import("./commands/list.ts")).registerList,
  ls: async () => (await import("./commands/ls.ts")).registerLs,
  restore: async () => (await import("./commands/restore.ts")).registerRestore,
  export: async () => (await import("./commands/export.ts")).registerExport,
  cat: async () => (await import("./commands/cat.ts")).registerCat,
  diff: async () => (await import("./commands/diff.ts")).registerDiff,
  check: async () => (await import("./commands/check.ts")).registerCheck,
  status: async () => (await import("./commands/status.ts")).registerStatus,
  stats: async () => (await import("./commands/stats.ts")).registerStats,
  findings: async () => (await import("./commands/findings.ts")).registerFindings,
  tag: async () => (await import("./commands/tag.ts")).registerTag,
  forget: async () => (await import("./commands/forget.ts")).registerForget,
  undelete: async () => (await import("./commands/undelete.ts")).registerUndelete,
  key: async () => (await import("./commands/key.ts")).registerKey,
  repair: async () => (await import("./commands/repair.ts")).registerRepair,
  prune: async () => (await import("./commands/prune.ts")).registerPrune,
  unlock: async () => (await import("./commands/unlock.ts")).registerUnlock,
  "rebuild-index": async () => (await import("./commands/rebuild-index.ts")).registerRebuildIndex,
  analyze: async () => (await import("./commands/analyze.ts")).registerAnalyze,
  doctor: async () => (await import("./commands/doctor.ts")).registerDoctor,
  demo: async () => (await import("./commands/demo.ts")).registerDemo,
};

const VERSION = "--version";
const HELP = "help";

export interface ProgramOptions {
  /** Only as far as they say which command is meant. */
  readonly argv: readonly string[];
  readonly writeOut: (text: string) => void;
  /** Called by a command at work: what it loads takes longer than help and version do. */
  readonly openSession: (common: CommonOptions) => Promise<Session>;
  readonly onExitCode: (code: ExitCode) => void;
}

export async function createProgram(options: ProgramOptions): Promise<Command> {
  const program = new Command("cyrvault")
    .description("Incremental, deduplicating backups of Cyrus IMAP servers")
    .version(version(), VERSION, "print the version")
    .option("-r, --repo <place>", "the repository: a directory or a URL (or $CYRVAULT_REPO)")
    .option(
      "-p, --password-file <file>",
      "its password is in a file (or $CYRVAULT_PASSWORD_FILE, $CYRVAULT_PASSWORD)",
    )
    .option(
      "--key-file <file>",
      "instead of a password: a file of random bytes, or a paper key (or $CYRVAULT_KEY_FILE)",
    )
    .option(
      "--cache-dir <dir>",
      "what this machine remembers of repositories (or $CYRVAULT_CACHE_DIR; ~/.cache/cyrvault)",
    )
    .option("--json", "results as JSON on standard output, progress as JSON on standard error")
    .option("-q, --quiet", "no progress; results and warnings are printed")
    .option("-v, --verbose", "more about what happens; with an error, where it arose")
    .helpOption("-h, --help", "what a command takes, with an example")
    .helpCommand(`${HELP} [command]`, "what a command takes, with an example")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: options.writeOut, writeErr: () => undefined, outputError: () => undefined })
    .exitOverride();
  const act: Act = (command, handler) => {
    command.action(async (...given: unknown[]) => {
      const own = given.at(-2) as never;
      const args = given.slice(0, -2).flat() as string[];
      const session = await options.openSession(command.optsWithGlobals<CommonOptions>());
      const code = await handler(
        session,
        args.filter((arg) => arg !== undefined),
        own,
      );
      if (code !== undefined) options.onExitCode(code);
    });
  };
  for (const name of wantedCommands(options.argv)) (await COMMANDS[name]?.())?.(program, act);
  program.addHelpText("after", `\nExample:\n  cyrvault backup --repo /backup/cyrus --root /mnt/snapshot\n`);
  for (const group of [program, ...program.commands])
    if (group.commands.length > 0) group.on("beforeHelp", () => refuseUnknown(group));
  return program;
}

/** The one command that the first argument names, none for the version; all where it is not as plain as that. */
function wantedCommands(argv: readonly string[]): readonly string[] {
  const [first = ""] = argv;
  if (first === VERSION) return [];
  return Object.hasOwn(COMMANDS, first) ? [first] : Object.keys(COMMANDS);
}

/** There is no help for a command that does not exist. @throws {CommanderError} as without `--help`. */
function refuseUnknown(group: Command): void {
  const [operand, subject] = group.args;
  const named = operand === HELP ? subject : operand;
  if (named === undefined || named.startsWith("-") || named === HELP) return;
  if (group.commands.every((command) => command.name() !== named)) group.parse([named], { from: "user" });
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
