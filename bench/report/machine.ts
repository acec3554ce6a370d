/** On what the figures were got. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { run } from "../measure/run.ts";
import type { Tool } from "../tools/tool.ts";
import type { MachineFacts } from "./result.ts";

/** @param work - where trees and repositories lie. */
export function machineFacts(work: string): MachineFacts {
  const cores = cpus();
  return {
    cpu: cores[0]?.model ?? "unknown",
    cores: cores.length,
    memoryBytes: totalmem(),
    kernel: release(),
    distribution: distribution(),
    node: process.version,
    fileSystem: printed("findmnt", "-no", "FSTYPE", "-T", work) ?? "unknown",
    commit: commit(),
  };
}

/** @returns its version, or why it is not there. */
export async function versionOf({ version }: Pick<Tool, "version">): Promise<string | Error> {
  try {
    const { exitCode, stdout } = await run(version);
    if (exitCode !== 0) return new Error(`${version.argv[0]} ended with ${exitCode}`);
    return (stdout.toString("utf8").split("\n")[0] ?? "").replace(/^[\s*]+|[\s*]+$/g, "");
  } catch (error) {
    return error as Error;
  }
}

/** What stays the same as long as the program does. @param script - bin/cyrvault.js, beside its dist. */
export function buildId(script: string): string {
  const dist = join(dirname(script), "../dist");
  const hash = createHash("sha256");
  const names = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".js"),
  );
  for (const name of names.sort()) hash.update(`${name}\n`).update(readFileSync(join(dist, name)));
  return hash.digest("hex").slice(0, 12);
}

function distribution(): string {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "unknown";
  } catch {
    return "unknown";
  }
}

function commit(): string {
  const id = printed("git", "rev-parse", "--short=12", "HEAD");
  if (id === undefined) return "unknown";
  return printed("git", "status", "--porcelain", "--", "src", "bin") === "" ? id : `${id}+`;
}

function printed(file: string, ...args: readonly string[]): string | undefined {
  try {
    return execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}
