/** Who could still write below the roots of a server: its master and what descends from it, and whoever holds a file open there. */
import { type ByteString, toText } from "../base/byte-string.ts";
import type { HostFacts, HostProcess } from "../source/host/host-facts.ts";
import { cyrusProcesses, type RunningMaster, runningMasters } from "../source/host/running-master.ts";
import { baseName, isWithin, normalise } from "../source/view.ts";

export interface Holder {
  readonly process: HostProcess;
  readonly file: ByteString;
}

/** Those that run with this imapd.conf, however it is named. */
export function mastersOf(facts: HostFacts, config: ByteString): RunningMaster[] {
  const real = (path: ByteString) => facts.realPath?.(path) ?? normalise(path);
  const wanted = real(config);
  const file = facts.stat(wanted);
  return runningMasters(facts.processes).filter((master) => {
    const path = real(master.config);
    if (path === wanted) return true;
    const other = facts.stat(path);
    return (
      file !== undefined && other !== undefined && other.device === file.device && other.inode === file.inode
    );
  });
}

/** Of any Cyrus, whatever its configuration. */
export function familyOf(facts: HostFacts, masters: readonly RunningMaster[]): ReadonlySet<number> {
  return new Set(cyrusProcesses(facts.processes, masters, undefined).map(({ pid }) => pid));
}

/**
 * One file of each process, and how many processes this user may not look into.
 * @param only - `writers`: those who could change it. Programs of Cyrus read first and write then.
 */
export function holdersBelow(
  facts: HostFacts,
  roots: readonly ByteString[],
  only: "all" | "writers" = "all",
): { readonly holders: readonly Holder[]; readonly hidden: number } {
  const holders: Holder[] = [];
  let hidden = 0;
  for (const process of facts.processes) {
    const { pid } = process;
    const files = only === "all" ? facts.openFiles(pid) : facts.openForWriting(pid, roots);
    if (files === undefined) hidden++;
    // What was deleted while it was open is in nobody's tree any more.
    const file = files?.find(
      (one) => !one.endsWith(" (deleted)") && roots.some((root) => isWithin(one, root)),
    );
    if (file !== undefined) holders.push({ process, file });
  }
  return { holders, hidden };
}

/** Programs that work through all mailboxes and end by themselves; what they do must not be cut in two. */
const JOBS = new Set(["cyr_expire", "expire", "ipurge", "squatter", "reconstruct", "quota"]);

export function isJob({ args }: HostProcess): boolean {
  const [program] = args;
  if (program === undefined || !JOBS.has(baseName(program))) return false;
  // squatter -R serves for ever.
  return baseName(program) !== "squatter" || !args.some((arg) => /^-\w*R/.test(arg));
}

/** `cyr_expire (process 812, /var/spool/cyrus/mail/b/user/bovik/cyrus.index)`, of the first three. */
export function describeHolders(holders: readonly Holder[]): string {
  const shown = holders.slice(0, 3).map(({ process, file }) => {
    const program = process.args[0] ?? ("?" as ByteString);
    return `${toText(baseName(program))} (process ${process.pid}, ${toText(file)})`;
  });
  return shown.join(", ") + (holders.length > 3 ? ` and ${holders.length - 3} more` : "");
}
