/** The streams and the environment of a process, behind a seam that tests can stand in for. */
import { CyrvaultError } from "../base/errors.ts";
import { causeCode, ioError } from "../base/io-error.ts";
import { readSecret } from "./read-secret.ts";

export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether a person sees what is written to standard output. */
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  /** Whether somebody can be asked: standard input and standard error are a terminal. */
  readonly canAsk: boolean;
  /** Of the terminal behind standard error. */
  readonly columns: number;
  /** Resolves when the bytes are handed to the system. @throws {CyrvaultError} `IO`, `NO_SPACE`. */
  out(data: string | Uint8Array): Promise<void>;
  err(text: string): void;
  /** Asks without showing what is typed. @throws {CyrvaultError} `INTERRUPTED`. */
  askSecret(question: string): Promise<string>;
}

export function processTerminal(): Terminal {
  const { stdin, stdout, stderr } = process;
  // Failures reach whoever waits for the write; without a listener they would end the process.
  stdout.on("error", () => undefined);
  stderr.on("error", () => undefined);
  return {
    env: process.env,
    outIsTerminal: stdout.isTTY === true,
    errIsTerminal: stderr.isTTY === true,
    canAsk: stdin.isTTY === true && stderr.isTTY === true,
    get columns() {
      // 0 where the terminal does not know.
      return stderr.columns || 80;
    },
    out: (data) =>
      new Promise((resolve, reject) => {
        stdout.write(data, (cause) => {
          if (cause === undefined || cause === null) resolve();
          else reject(ioError("cannot write the result to standard output", cause));
        });
      }),
    err: (text) => void stderr.write(text),
    askSecret: (question) => readSecret(question, stdin, stderr),
  };
}

/** Whoever read our output has gone (`cyrvault ls … | head`): nobody is left to complain to. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof CyrvaultError && causeCode(error) === "EPIPE";
}
