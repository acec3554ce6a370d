import { CyrvaultError } from "../../../src/base/errors.ts";
import { main } from "../../../src/cli/main.ts";
import type { Terminal } from "../../../src/cli/terminal.ts";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface FakeOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What is typed when a password is asked for, one after the other. Without it nobody can be asked. */
  readonly typed?: readonly string[];
  readonly outIsTerminal?: boolean;
}

/** Runs the command line in this process, with streams that are only remembered. */
export async function run(argv: readonly string[], options: FakeOptions = {}): Promise<Ran> {
  let stdout = "";
  let stderr = "";
  const typed = [...(options.typed ?? [])];
  const terminal: Terminal = {
    env: options.env ?? {},
    outIsTerminal: options.outIsTerminal ?? false,
    errIsTerminal: false,
    canAsk: options.typed !== undefined,
    columns: 80,
    out: async (data) => {
      stdout += typeof data === "string" ? data : Buffer.from(data).toString("latin1");
    },
    err: (text) => {
      stderr += text;
    },
    askSecret: async (question) => {
      stderr += `${question}\n`;
      const answer = typed.shift();
      if (answer === undefined) throw new CyrvaultError("INTERRUPTED", "nobody types any more");
      return answer;
    },
  };
  const code = await main(argv, terminal);
  return { code, stdout, stderr };
}
