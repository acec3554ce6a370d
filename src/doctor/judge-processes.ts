/** A Cyrus that runs, and what it holds open outside of what a backup covers. */
import { type ByteString, fromText, toText } from "../base/byte-string.ts";
import type { ServerLayout } from "../cyrus/server-layout.ts";
import type { HostFacts, HostProcess } from "../source/host/host-facts.ts";
import { cyrusProcesses, pidFileOf, type RunningMaster } from "../source/host/running-master.ts";
import type { ServerRoot } from "../source/roots.ts";
import { isWithin, normalise } from "../source/view.ts";
import type { Check } from "./check.ts";

export interface ProcessesInput {
  readonly facts: Pick<HostFacts, "processes" | "openFiles" | "stat">;
  /** Those with this server's configuration. */
  readonly masters: readonly RunningMaster[];
  /** Those with another one: what they and theirs hold open is not this server's. */
  readonly others: readonly RunningMaster[];
  /** Of the configdirectory. */
  readonly owner: number | undefined;
  readonly roots: readonly Pick<ServerRoot, "path">[];
  readonly layout: Pick<
    ServerLayout,
    "lockPath" | "procPath" | "databases" | "searchPartitions" | "otherPaths"
  >;
  readonly isMapped: boolean;
}

/** Where nothing of a server lies that a backup would want. */
const SYSTEM = [
  "/dev",
  "/proc",
  "/sys",
  "/run",
  "/var/run",
  "/tmp",
  "/var/tmp",
  "/var/log",
  "/usr",
  "/lib",
  "/etc",
].map(fromText);

export function judgeProcesses(input: ProcessesInput): Check[] {
  const { facts, masters, others, owner, isMapped } = input;
  const checks: Check[] = [];
  const strangers = new Set(cyrusProcesses(facts.processes, others, undefined));
  const processes = cyrusProcesses(facts.processes, masters, owner).filter((one) => !strangers.has(one));
  if (masters.length > 0) {
    checks.push({
      code: "cyrus-running",
      severity: "note",
      message: `Cyrus runs (process ${masters.map(({ pid }) => pid).join(", ")})`,
      ...(isMapped ? {} : { advice: "what is read while it runs may be torn: read a snapshot, or stop it" }),
    });
  }
  const hidden: HostProcess[] = [];
  const pidFiles = new Set(processes.flatMap(({ args }) => pidFileOf(args) ?? []));
  const holders = new Map<ByteString, HostProcess>();
  for (const process of processes) {
    const files = facts.openFiles(process.pid);
    if (files === undefined) hidden.push(process);
    for (const file of files ?? [])
      if (!holders.has(file) && !pidFiles.has(file) && isOutside(file, input)) holders.set(file, process);
  }
  for (const [file, { pid, args }] of holders) {
    checks.push({
      code: "open-outside",
      severity: "warning",
      path: toText(file),
      message: `process ${pid} (${toText(args[0] ?? fromText("?"))}) holds ${toText(file)} open, which is in no place that a backup covers`,
      advice: `find out what it is; --include ${toText(file)} keeps it`,
    });
  }
  if (hidden.length > 0) {
    checks.push({
      code: "processes-not-visible",
      severity: "note",
      message: `what ${hidden.length} of ${processes.length} processes of Cyrus hold open is not for this user to see`,
      advice: "run as root to see it",
    });
  }
  return checks;
}

function isOutside(file: ByteString, { facts, roots, layout }: ProcessesInput): boolean {
  // What was deleted while open is gone for everybody else.
  if (!file.startsWith("/") || file.endsWith(" (deleted)")) return false;
  const disposable = [
    ...SYSTEM,
    layout.lockPath,
    layout.procPath,
    ...layout.searchPartitions.map(({ path }) => path),
    ...layout.otherPaths.map(({ path }) => path),
    ...Object.values(layout.databases).flatMap(({ path }) => path ?? []),
  ];
  if (disposable.some((place) => isWithin(file, normalise(place)))) return false;
  if (roots.some(({ path }) => isWithin(file, path))) return false;
  return facts.stat(file)?.type === "file";
}
