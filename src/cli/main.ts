/** The command line as a function: arguments in, exit code out. */
import { systemClock } from "../base/clock.ts";
import { EXIT, type ExitCode, exitCodeOf } from "./exit-codes.ts";
import { listenForInterruption } from "./interruption.ts";
import { Output } from "./output.ts";
import { createProgram, isUsageError, usageError } from "./program.ts";
import { isBrokenPipe, processTerminal, type Terminal } from "./terminal.ts";

/** @param argv - without the names of node and the script. */
export async function main(argv: readonly string[], terminal: Terminal = processTerminal()): Promise<number> {
  // Known before the options are parsed: an error of the parser is shown by them too.
  const output = new Output(terminal, {
    json: argv.includes("--json"),
    verbose: argv.some((arg) => arg === "--verbose" || /^-[a-z]*v/.test(arg)),
  });
  const interruption = listenForInterruption(() => {
    output.note("cyrvault: interrupted, stopping; once more ends it at once");
  });
  const parts = { terminal, clock: systemClock, signal: interruption.signal, output };
  let code: ExitCode = EXIT.done;
  let printed = Promise.resolve();
  try {
    const program = await createProgram({
      argv,
      writeOut: (text) => {
        printed = printed.then(() => terminal.out(text));
      },
      openSession: async (common) => new (await import("./session.ts")).Session(parts, common),
      onExitCode: (value) => {
        code = value;
      },
    });
    try {
      await program.parseAsync([...argv], { from: "user" });
    } catch (error) {
      if (!isUsageError(error)) throw error;
      const named = argv.find((arg) => program.commands.some((command) => command.name() === arg));
      const complaint = usageError(error, named);
      if (complaint !== undefined) throw complaint;
    }
    await printed;
    return code;
  } catch (error) {
    if (!isBrokenPipe(error)) output.error(error);
    return exitCodeOf(error);
  } finally {
    interruption.end();
  }
}
