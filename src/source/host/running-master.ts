/** Which Cyrus runs here: master's command line names its configuration. */
import { type ByteString, fromText } from "../../base/byte-string.ts";
import { baseName, normalise } from "../view.ts";
import type { HostProcess } from "./host-facts.ts";

export interface RunningMaster {
  readonly pid: number;
  readonly config: ByteString;
  readonly cyrusConf: ByteString | undefined;
}

/** Options of master that take a value (master(8) of 2.4 to 3.12). */
const WITH_VALUE = "CMLPljpT";
const DEFAULT_CONFIG = fromText("/etc/imapd.conf");

export function runningMasters(processes: readonly HostProcess[]): RunningMaster[] {
  const masters: RunningMaster[] = [];
  for (const { pid, args } of processes) {
    const options = optionsOf(args);
    if (!isCyrusMaster(args[0], options)) continue;
    masters.push({ pid, config: options.get("C") ?? DEFAULT_CONFIG, cyrusConf: options.get("M") });
  }
  // Of a master that is just about to become another process there are two for a moment.
  return masters.filter((one, at) => masters.findIndex((other) => other.config === one.config) === at);
}

/** Masters where each has another imapd.conf than this one; none where one of them has it. */
export function mastersElsewhere(
  processes: readonly HostProcess[],
  config: ByteString = DEFAULT_CONFIG,
): RunningMaster[] {
  const masters = runningMasters(processes);
  return masters.some((master) => normalise(master.config) === config) ? [] : masters;
}

/** Where a master writes its number, if its command line says so. */
export function pidFileOf(args: readonly ByteString[]): ByteString | undefined {
  const path = optionsOf(args).get("p");
  return path?.startsWith("/") === true ? path : undefined;
}

/** Postfix has a `master` too, which knows neither -C nor -M. */
function isCyrusMaster(program: ByteString | undefined, options: ReadonlyMap<string, ByteString>): boolean {
  if (program === undefined) return false;
  const name = baseName(program);
  if (name === "cyrmaster" || name === "cyrus-master") return true;
  if (name !== "master" || program.includes("postfix")) return false;
  return program.includes("cyrus") || options.has("C") || options.has("M");
}

/** As getopt reads them: `-C file`, `-Cfile`, `-dC file`. */
function optionsOf(args: readonly ByteString[]): Map<string, ByteString> {
  const options = new Map<string, ByteString>();
  for (let i = 1; i < args.length; i++) {
    const arg = args[i] as ByteString;
    if (arg === "--") break;
    if (!arg.startsWith("-")) continue;
    for (let at = 1; at < arg.length; at++) {
      const option = arg[at] as string;
      if (!WITH_VALUE.includes(option)) continue;
      const value = at + 1 < arg.length ? (arg.slice(at + 1) as ByteString) : args[++i];
      if (value !== undefined) options.set(option, value);
      break;
    }
  }
  return options;
}

/** The master, all that descend from it, and what else runs as the server's user (cron's cyr_expire is no child). */
export function cyrusProcesses(
  processes: readonly HostProcess[],
  masters: readonly RunningMaster[],
  owner: number | undefined,
): HostProcess[] {
  const family = new Set(masters.map(({ pid }) => pid));
  for (let grown = true; grown; ) {
    grown = false;
    for (const { pid, parent } of processes) {
      if (!family.has(parent) || family.has(pid)) continue;
      family.add(pid);
      grown = true;
    }
  }
  return processes.filter(
    ({ pid, uid }) => family.has(pid) || (owner !== undefined && owner !== 0 && uid === owner),
  );
}
