/** Runs the real command line: `node bin/cyrvault.js …`, which needs `npm run build` first. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const PROJECT = join(import.meta.dirname, "../..");
export const CLI = join(PROJECT, "bin/cyrvault.js");

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** A program with its arguments that starts the command line in its turn. */
  readonly through?: readonly string[];
}

export interface RunningCli {
  readonly process: ChildProcess;
  readonly pid: number;
  /** Resolves when the process has ended, whatever its exit code. */
  readonly result: Promise<CliResult>;
}

export function startCli(args: readonly string[], options: CliOptions = {}): RunningCli {
  if (!existsSync(join(PROJECT, "dist/cli/main.js")))
    throw new Error("dist/ is missing: run npm run build first");
  const [program = "", ...rest] = [...(options.through ?? []), process.execPath, CLI, ...args];
  // A password or repository of whoever runs the tests must not reach them.
  const { CYRVAULT_REPO, CYRVAULT_PASSWORD, CYRVAULT_PASSWORD_FILE, CYRVAULT_KEY_FILE, ...env } = process.env;
  // What is remembered of repositories of tests would stay in the home of whoever runs them.
  const all = { ...env, CYRVAULT_CACHE_DIR: "", ...options.env };
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"], env: all });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (data: Buffer) => stdout.push(data));
  child.stderr.on("data", (data: Buffer) => stderr.push(data));
  const result = new Promise<CliResult>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      resolve({ code, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() });
    });
  });
  if (child.pid === undefined) throw new Error(`${program} could not be started`);
  return { process: child, pid: child.pid, result };
}

export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return await startCli(args, options).result;
}

/**
 * Runs with `--json` and gives the object on the last line of standard output.
 *
 * @throws if the exit code is none of `codes`, with what the command said
 */
export async function runJson<T>(
  args: readonly string[],
  options: CliOptions & { readonly codes?: readonly number[] } = {},
): Promise<T> {
  const objects = await runJsonLines<T>(args, options);
  const last = objects.at(-1);
  if (last === undefined) throw new Error(`cyrvault ${args.join(" ")} printed nothing`);
  return last;
}

/** As `runJson`, for commands that print an object a line. */
export async function runJsonLines<T>(
  args: readonly string[],
  options: CliOptions & { readonly codes?: readonly number[] } = {},
): Promise<T[]> {
  const result = await runCli([...args, "--json"], options);
  expectCode(args, result, options.codes ?? [0]);
  const lines = result.stdout.toString().split("\n");
  return lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line) as T);
}

/** @throws with the output, so that a failing test says why */
export function expectCode(args: readonly string[], result: CliResult, codes: readonly number[] = [0]): void {
  if (result.code !== null && codes.includes(result.code)) return;
  throw new Error(
    `cyrvault ${args.join(" ")} ended with ${result.code ?? result.signal}, not ${codes.join(" or ")}:\n` +
      `${result.stderr}\n${result.stdout.toString().slice(-4000)}`,
  );
}

/** The results that scripts rely on, as far as the tests look at them. */
export interface BackupResult {
  readonly backup: string;
  readonly parent: string | null;
  readonly mailboxes: {
    readonly total: number;
    readonly changed: number;
    readonly unchanged: number;
    readonly new: number;
    readonly gone: number;
    readonly renamed: number;
  };
  readonly messages: { readonly total: number; readonly new: number; readonly read: number };
  readonly bytes: {
    readonly source: number;
    readonly read: number;
    readonly added: number;
    readonly stored: number;
  };
  readonly findings: readonly FindingResult[];
  readonly findingsTotal: number;
}

export interface FindingResult {
  readonly code: string;
  readonly severity: "note" | "warning" | "error";
  readonly path: string;
  readonly message: string;
}

export interface RestoreResult {
  readonly backup: string;
  readonly mailboxes: number;
  readonly messages: number;
  readonly files: number;
  readonly bytes: number;
  readonly findings: readonly FindingResult[];
}

export interface CheckResult {
  readonly errors: readonly { readonly code: string; readonly message: string }[];
  readonly packs: number;
  readonly objects: number;
  readonly backups: number;
}
