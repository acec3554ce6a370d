/** The command line as a function: arguments in, exit code out. */
import { systemClock } from "../base/clock.ts";
import { EXIT, type ExitCode, exitCodeOf } from "./exit-codes.ts";
import { listenForInterruption } from "./interruption.ts";
import { Output } from "./output.ts";
import { createProgram, isUsageError, usageError } from "./program.ts";
import { Session } from "./session.ts";
import { isBrokenPipe, processTerminal, type Terminal } from "./terminal.ts";

/** @param argv - without the names of node and the script. */
export async function main(argv: readonly string[], terminal: Terminal = processTerminal()): Promise<number> {
  // Known before the options are parsed: an error of the parser is shown by them too.
  const output = new Output(terminal, {
    json: argv.includes("--json"),
    verbose: argv.includes("--verbose") || argv.includes("-v"),
  });
  const interruption = listenForInterruption(() => {
    output.note("cyrvault: interrupted, stopping; once more ends it at once");
  });
  let code: ExitCode = EXIT.done;
  let printed = Promise.resolve();
  const program = createProgram({
    writeOut: (text) => {
      printed = printed.then(() => terminal.out(text));
    },
    openSession: (common) => new Session(terminal, systemClock, interruption.signal, common),
    onExitCode: (value) => {
      code = value;
    },
  });
  try {
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
