/** A command as it is run, and as a reader can run it again. */

export interface Command {
  readonly argv: readonly string[];
  /** Beside the harness's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** For a POSIX shell. */
export function commandText({ argv, env = {}, cwd }: Command): string {
  const words = [
    ...Object.entries(env).map(([name, value]) => `${name}=${quoted(value)}`),
    ...argv.map(quoted),
  ];
  const line = words.join(" ");
  return cwd === undefined ? line : `(cd ${quoted(cwd)} && ${line})`;
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
