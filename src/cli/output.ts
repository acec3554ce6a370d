/** Results to standard output, everything else to standard error: the one place that prints. */
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { escapeForTerminal, escapeLinesForTerminal } from "../base/escape.ts";
import type { LogRecord } from "../base/log.ts";
import { exitCodeOf } from "./exit-codes.ts";
import { hintOf } from "./hint.ts";
import { type Column, Table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface OutputOptions {
  readonly json: boolean;
  readonly verbose: boolean;
}

export class Output {
  readonly json: boolean;
  readonly #terminal: Terminal;
  readonly #verbose: boolean;
  /** What stands on the terminal's last line and is drawn over: the progress line. */
  #status = "";

  constructor(terminal: Terminal, options: OutputOptions) {
    this.#terminal = terminal;
    this.json = options.json;
    this.#verbose = options.verbose;
  }

  /** One JSON object on a line of standard output. */
  async object(value: object): Promise<void> {
    await this.bytes(`${jsonLine(value)}\n`);
  }

  /** Text of ours for people; foreign words in it are escaped. */
  async text(text: string): Promise<void> {
    await this.bytes(`${escapeLinesForTerminal(text)}\n`);
  }

  /** As it is: the bytes of a message, finished lines. */
  async bytes(data: string | Uint8Array): Promise<void> {
    if (this.#terminal.outIsTerminal) this.status("");
    await this.#terminal.out(data);
  }

  table(columns: readonly Column[]): Table {
    return new Table(columns, (text) => this.bytes(text));
  }

  /** A line of text on standard error, escaped. */
  note(text: string): void {
    this.#err(`${escapeLinesForTerminal(text)}\n`);
  }

  /** One JSON object on a line of standard error. */
  event(value: object): void {
    this.#err(`${jsonLine(value)}\n`);
  }

  log(record: LogRecord): void {
    const { level, message, context } = record;
    if (this.json) {
      this.event({ type: "log", level, message, context: printable(context) });
      return;
    }
    const { hint } = context;
    const details = Object.entries(context)
      .filter(([name, value]) => value !== undefined && (name !== "hint" || typeof hint !== "string"))
      .map(([name, value]) => ` ${name}=${String(value)}`)
      .join("");
    const prefix = level === "warning" || level === "error" ? `${level}: ` : "";
    this.#err(`cyrvault: ${prefix}${escapeForTerminal(message + details)}\n`);
    if (typeof hint === "string") this.#err(`  hint: ${escapeLinesForTerminal(hint)}\n`);
  }

  /** The line that is drawn over by whatever comes next; empty: none. Only for a terminal. */
  status(line: string): void {
    if (line === this.#status) return;
    this.#status = line;
    this.#terminal.err(`\r\x1b[2K${line}`);
  }

  /** What could not be done, why, what to try; with --json an object too. A stack only with --verbose. */
  error(error: unknown): void {
    this.status("");
    const known = isCyrvaultError(error);
    const message = error instanceof Error ? error.message : String(error);
    const hint = hintOf(error);
    this.#err(`cyrvault: ${escapeLinesForTerminal(message)}\n`);
    this.#err(`  hint: ${escapeLinesForTerminal(hint)}\n`);
    if (this.#verbose) this.#err(`${escapeLinesForTerminal(stackOf(error))}\n`);
    if (!this.json) return;
    this.event({
      type: "error",
      code: known ? error.code : "BUG",
      message,
      hint,
      exitCode: exitCodeOf(error),
      ...(known ? { context: printable(error.context) } : {}),
    });
  }

  #err(text: string): void {
    if (this.#terminal.errIsTerminal) this.status("");
    this.#terminal.err(text);
  }
}

/**
 * JSON on one line, in which what could upset a terminal is written as `\uXXXX`: the same value for whoever
 * parses it, harmless for whoever looks at it.
 */
export function jsonLine(value: object): string {
  return JSON.stringify(value).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    let escaped = "";
    for (let i = 0; i < character.length; i++)
      escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
    return escaped;
  });
}

function printable(context: CyrvaultError["context"]): Record<string, string | number | boolean> {
  const fields: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(context)) {
    if (value !== undefined) fields[name] = typeof value === "bigint" ? String(value) : value;
  }
  return fields;
}

function stackOf(error: unknown): string {
  const stacks: string[] = [];
  for (let at: unknown = error; at instanceof Error && stacks.length < 8; at = at.cause) {
    stacks.push(
      at instanceof CyrvaultError ? `[${at.code}] ${at.stack ?? at.message}` : (at.stack ?? at.message),
    );
  }
  return stacks.join("\ncaused by: ");
}
