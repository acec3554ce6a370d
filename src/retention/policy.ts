/** Which backups stay, and why: a pure function of what there is, the rules, and the time. */
import { type CalendarTime, localCalendar, type ToCalendar } from "./calendar.ts";

export interface RetentionRules {
  /** How many of the newest. 0: not asked for; Infinity: all. So for the others. */
  readonly last: number;
  /** Of so many hours, days … that have a backup: the newest of each. */
  readonly hourly: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
  readonly yearly: number;
  /** Whatever is younger than this, in ms. 0: not asked for. */
  readonly withinMs: number;
  /** Whatever has one of these tags. */
  readonly tags: readonly string[];
}

export const NO_RULES: RetentionRules = {
  last: 0,
  hourly: 0,
  daily: 0,
  weekly: 0,
  monthly: 0,
  yearly: 0,
  withinMs: 0,
  tags: [],
};

export interface RetentionCandidate {
  readonly backup: string;
  readonly server: string;
  /** When it says it was taken, ms since the epoch. */
  readonly timeMs: number;
  readonly parent: string | undefined;
  /** Finished, but with findings of severity error that nobody has accepted. */
  readonly incomplete: boolean;
  /** Why somebody has put a hold on it. */
  readonly hold: string | undefined;
  readonly tags: readonly string[];
}

export interface RetentionVerdict<C> {
  readonly candidate: C;
  /** Why it stays, for people: `daily 2026-11-20`. Empty: it goes. */
  readonly reasons: readonly string[];
}

/** What a clock may be ahead of ours before its backups count as dated in the future. */
const CLOCK_TOLERANCE_MS = 3_600_000;

/** Of each bucket the newest backup stays. */
const BUCKETS: readonly (readonly [
  rule: "hourly" | "daily" | "weekly" | "monthly" | "yearly",
  nameOf: NameBucket,
])[] = [
  ["hourly", ({ day, hour }) => `${day} ${hour}`],
  ["daily", ({ day }) => day],
  ["weekly", ({ week }) => week],
  ["monthly", ({ day }) => day.slice(0, 7)],
  ["yearly", ({ day }) => day.slice(0, 4)],
];
type NameBucket = (time: CalendarTime) => string;

/**
 * Each server by itself. Of every server the newest backup stays, and the newest that is not incomplete. A backup
 * whose date cannot be right (later than now, or than a child's) stays and takes no other one's place: whoever makes
 * backups with false dates cannot push good ones out.
 * @returns a verdict for each candidate: by server in the order of first appearance, newest first.
 */
export function decideRetention<C extends RetentionCandidate>(
  candidates: readonly C[],
  rules: RetentionRules,
  nowMs: number,
  toCalendar: ToCalendar = localCalendar,
): RetentionVerdict<C>[] {
  const servers = new Map<string, C[]>();
  for (const candidate of candidates) {
    const ofServer = servers.get(candidate.server);
    if (ofServer === undefined) servers.set(candidate.server, [candidate]);
    else ofServer.push(candidate);
  }
  return [...servers.values()].flatMap((ofServer) => decideServer(ofServer, rules, nowMs, toCalendar));
}

function decideServer<C extends RetentionCandidate>(
  candidates: readonly C[],
  rules: RetentionRules,
  nowMs: number,
  toCalendar: ToCalendar,
): RetentionVerdict<C>[] {
  const newestFirst = [...candidates].sort(
    (a, b) => b.timeMs - a.timeMs || (a.backup < b.backup ? 1 : a.backup > b.backup ? -1 : 0),
  );
  const reasons = new Map<C, string[]>(newestFirst.map((candidate) => [candidate, []]));
  const keep = (candidate: C | undefined, reason: string) => {
    if (candidate !== undefined) reasons.get(candidate)?.push(reason);
  };

  const wrong = wronglyDated(newestFirst, nowMs);
  for (const [candidate, why] of wrong) keep(candidate, why);
  const sound = newestFirst.filter((candidate) => !wrong.has(candidate));
  keep(sound[0], "newest");
  if (sound[0]?.incomplete === true)
    keep(
      sound.find(({ incomplete }) => !incomplete),
      "newest without errors",
    );
  for (const candidate of newestFirst) {
    if (candidate.hold !== undefined) keep(candidate, `hold: ${candidate.hold}`);
    for (const tag of candidate.tags) if (rules.tags.includes(tag)) keep(candidate, `tag ${tag}`);
  }
  for (const [i, candidate] of sound.entries()) {
    if (i < rules.last) keep(candidate, `last ${i + 1}`);
    if (candidate.timeMs > nowMs - rules.withinMs) keep(candidate, "within");
  }
  for (const [rule, nameOf] of BUCKETS) {
    const seen = new Set<string>();
    for (const candidate of sound) {
      if (seen.size >= rules[rule]) break;
      const bucket = nameOf(toCalendar(candidate.timeMs));
      if (seen.has(bucket)) continue;
      seen.add(bucket);
      keep(candidate, `${rule} ${bucket}`);
    }
  }
  return newestFirst.map((candidate) => ({ candidate, reasons: reasons.get(candidate) ?? [] }));
}

function wronglyDated<C extends RetentionCandidate>(
  newestFirst: readonly C[],
  nowMs: number,
): Map<C, string> {
  const wrong = new Map<C, string>();
  const byId = new Map(newestFirst.map((candidate) => [candidate.backup, candidate]));
  for (const candidate of newestFirst)
    if (candidate.timeMs > nowMs + CLOCK_TOLERANCE_MS) wrong.set(candidate, "dated in the future");
  for (const candidate of newestFirst) {
    const parent = candidate.parent === undefined ? undefined : byId.get(candidate.parent);
    // Of a parent from the future its children are dated earlier, and rightly so.
    if (parent === undefined || wrong.has(candidate) || wrong.has(parent)) continue;
    if (candidate.timeMs < parent.timeMs) wrong.set(candidate, "dated before its parent");
  }
  return wrong;
}
