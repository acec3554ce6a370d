/** How a command fits under the program: what each file of commands/ exports. */
import type { Command } from "commander";
import type { ExitCode } from "./exit-codes.ts";
import type { Session } from "./session.ts";

/** The action of a command: its exit code, 0 when undefined. @param args - those given; optional ones may be absent. */
export type Handler<Options> = (
  session: Session,
  args: readonly string[],
  options: Options,
) => Promise<ExitCode | undefined>;

/** Puts a handler under a command. */
export type Act = <Options extends object>(command: Command, handler: Handler<Options>) => void;

export type Register = (program: Command, act: Act) => void;

/** An example in the help of a command. */
export function example(...lines: readonly string[]): string {
  return `\nExample:\n${lines.map((line) => `  ${line}\n`).join("")}`;
}

/** For options that may be given several times. */
export function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}
