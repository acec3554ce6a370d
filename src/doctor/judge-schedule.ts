/** How long Cyrus keeps what is deleted, against the time between two backups; and when its housekeeping runs. */
import { parseDuration } from "../cyrus/imapd-conf.ts";
import type { ServerLayout } from "../cyrus/server-layout.ts";
import type { Check } from "./check.ts";
import type { ScheduledCommand } from "./schedule.ts";

export function judgeSchedule(
  schedule: readonly ScheduledCommand[],
  layout: Pick<ServerLayout, "expungeMode" | "deleteMode">,
  intervalSeconds: number,
): Check[] {
  const checks: Check[] = [];
  const interval = days(intervalSeconds);
  for (const { command, where } of schedule) {
    for (const { option, what, seconds } of expireWindows(command)) {
      const short = seconds < intervalSeconds;
      checks.push({
        code: "expire-window",
        severity: short ? "warning" : "ok",
        message: `${what} are kept for ${days(seconds)} (${option} in ${where}); backups are ${interval} apart`,
        ...(short
          ? {
              advice: `what comes and goes between two backups is in none: make ${option} longer than that, or back up more often (--interval says how often you do)`,
            }
          : {}),
      });
    }
  }
  if (layout.expungeMode === "immediate" || layout.deleteMode === "immediate") {
    const option = layout.expungeMode === "immediate" ? "expunge_mode" : "delete_mode";
    checks.push({
      code: "expunge-immediate",
      severity: "note",
      message: `${option} is immediate: what a user deletes between two backups is in none of them`,
      advice: `set ${option} to delayed, and let cyr_expire remove what is older than a few days`,
    });
  }
  const housekeeping = schedule.filter(
    ({ command, when }) => HOUSEKEEPING.test(command) && when !== "when Cyrus starts",
  );
  if (housekeeping.length > 0) {
    checks.push({
      code: "housekeeping-times",
      severity: "note",
      message: `housekeeping removes or rewrites files: ${housekeeping.map(({ command, when }) => `${programOf(command)} ${when}`).join(", ")}`,
      advice: "freeze the server at another time",
    });
  }
  return checks;
}

const HOUSEKEEPING = /cyr_expire|ipurge|squatter/;

interface Window {
  readonly option: "-D" | "-X";
  readonly what: string;
  readonly seconds: number;
}

/** Of `cyr_expire -E 4 -D 28 -X3d`; an option that is not there removes nothing. */
function expireWindows(command: string): Window[] {
  const at = /(?:^|[/\s'"])cyr_expire(?=\s)/.exec(command);
  if (at === null) return [];
  const windows: Window[] = [];
  for (const [, letter, value = ""] of command
    .slice(at.index)
    .matchAll(/\s-([DX])\s*"?([\d.]+[dhms]?(?:\d+[dhms])*)/g)) {
    const seconds = secondsOf(value);
    if (seconds === undefined) continue;
    windows.push(
      letter === "D"
        ? { option: "-D", what: "deleted mailboxes", seconds }
        : { option: "-X", what: "expunged messages", seconds },
    );
  }
  return windows;
}

/** Days without a unit; fractions were usual before 3.0. */
function secondsOf(text: string): number | undefined {
  const fraction = /^(\d*\.\d+)([dhms]?)$/.exec(text);
  if (fraction === null) return parseDuration(text, "d");
  const unit = parseDuration(`1${fraction[2]}`, "d");
  return unit === undefined ? undefined : Number(fraction[1]) * unit;
}

function programOf(command: string): string {
  return HOUSEKEEPING.exec(command)?.[0] ?? command;
}

function days(seconds: number): string {
  if (seconds % 86_400 === 0) return seconds === 86_400 ? "1 day" : `${seconds / 86_400} days`;
  return `${Math.round((seconds / 3600) * 10) / 10} hours`;
}
