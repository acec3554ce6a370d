/** Whether each server has a backup that is new enough: for monitoring. */
import { isListSeries, serverOfListSeries } from "../manifest/list-series.ts";
import type { ManifestRoot } from "../manifest/model.ts";

export interface StatusOptions {
  /**
   * undefined: every server of which there is a backup. Backups of a mailbox list alone are no server then, and make
   * nothing better or worse; who wants to know how old they are asks for their own name.
   */
  readonly server: string | undefined;
  /** undefined: any age will do. */
  readonly maxAgeMs: number | undefined;
  /** Only backups without a finding of severity error that nobody has accepted count. */
  readonly goodOnly: boolean;
  readonly nowMs: number;
}

export interface StatusBackup {
  readonly backup: string;
  readonly timeMs: number;
  /** Findings of severity error that nobody has accepted. */
  readonly errors: number;
}

export interface ServerStatus {
  readonly server: string;
  /** The newest that counts; undefined: there is none. */
  readonly newest: StatusBackup | undefined;
  /** Since it began. */
  readonly ageMs: number | undefined;
  /** Why it is not well; undefined: it is. */
  readonly problem: "no-backup" | "none-without-errors" | "too-old" | undefined;
  /** Backups that begin later than now: a clock was wrong, and they say nothing about age. */
  readonly inFuture: number;
  /** The newest backup of its mailbox list alone. */
  readonly mailboxList: { readonly backup: string; readonly timeMs: number } | undefined;
}

interface Known {
  newest: StatusBackup | undefined;
  some: boolean;
  inFuture: number;
  mailboxList: ServerStatus["mailboxList"];
}

/** Clocks of two machines differ a little. */
const FUTURE_MS = 10 * 60_000;

/** By name of the server; at least one: the one asked for, though it has no backup. */
export async function statusOf(
  backups: AsyncIterable<Pick<ManifestRoot, "backup" | "server" | "startedMs" | "counts">>,
  options: StatusOptions,
): Promise<ServerStatus[]> {
  const { nowMs, goodOnly, server: wanted } = options;
  const servers = new Map<string, Known>();
  const of = (server: string) => {
    const known = servers.get(server) ?? {
      newest: undefined,
      some: false,
      inFuture: 0,
      mailboxList: undefined,
    };
    servers.set(server, known);
    return known;
  };
  if (wanted !== undefined) of(wanted);
  for await (const { backup, server, startedMs: timeMs, counts } of backups) {
    if (isListSeries(server) && server !== wanted) {
      if (wanted !== undefined && serverOfListSeries(server) !== wanted) continue;
      const whole = of(serverOfListSeries(server));
      if (timeMs <= nowMs + FUTURE_MS && timeMs >= (whole.mailboxList?.timeMs ?? 0))
        whole.mailboxList = { backup, timeMs };
      continue;
    }
    if (wanted !== undefined && server !== wanted) continue;
    const known = of(server);
    const errors = counts.findings.error;
    if (timeMs > nowMs + FUTURE_MS) known.inFuture++;
    else if (goodOnly && errors > 0) known.some = true;
    else if (known.newest === undefined || timeMs >= known.newest.timeMs)
      known.newest = { backup, timeMs, errors };
  }
  return [...servers]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([server, { newest, some, inFuture, mailboxList }]) => {
      const ageMs = newest === undefined ? undefined : Math.max(0, nowMs - newest.timeMs);
      return { server, newest, ageMs, problem: problemOf(ageMs, some, options), inFuture, mailboxList };
    });
}

function problemOf(
  ageMs: number | undefined,
  someWithErrors: boolean,
  { maxAgeMs }: StatusOptions,
): ServerStatus["problem"] {
  if (ageMs === undefined) return someWithErrors ? "none-without-errors" : "no-backup";
  return maxAgeMs !== undefined && ageMs > maxAgeMs ? "too-old" : undefined;
}
