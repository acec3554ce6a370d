/** The --keep options as people write them. */
import { CyrvaultError } from "../base/errors.ts";

const HOUR_MS = 3_600_000;
const UNIT_MS: Readonly<Record<string, number>> = {
  h: HOUR_MS,
  d: 24 * HOUR_MS,
  w: 7 * 24 * HOUR_MS,
  y: 366 * 24 * HOUR_MS,
};

/** `14`, `all`. @returns 0 for undefined. @throws {CyrvaultError} `USAGE`. */
export function parseKeepCount(option: string, text: string | undefined): number {
  if (text === undefined) return 0;
  if (text === "all" || text === "unlimited") return Number.POSITIVE_INFINITY;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new CyrvaultError("USAGE", `${option} ${text}: not a number`, {
    hint: `write ${option} 14, or ${option} all`,
  });
}

/** `30d`, `2w3d`, `1y`, `12h`, `0`. @returns ms; 0 for undefined. @throws {CyrvaultError} `USAGE`. */
export function parseDuration(option: string, text: string | undefined): number {
  if (text === undefined || text === "0") return 0;
  const parts = [...text.matchAll(/(\d{1,6})([hdwy])/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text)
    throw new CyrvaultError("USAGE", `${option} ${text}: not a length of time`, {
      hint: `write ${option} 30d; h are hours, d days, w weeks, y years (months are not all alike: say 31d)`,
    });
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit as string] as number), 0);
}

const SPAN_MS: Readonly<Record<string, number>> = { ...UNIT_MS, s: 1000, m: 60_000 };

/** For waiting rather than for keeping: `30s`, `5m`, `72h`, `3d`, `0`. @throws {CyrvaultError} `USAGE`. */
export function parseSpan(option: string, text: string): number {
  const [, number, unit] = /^(\d{1,6}(?:\.\d{1,3})?)([smhdw])$/.exec(text) ?? [];
  const ms = text === "0" ? 0 : Number(number) * (SPAN_MS[unit ?? ""] ?? Number.NaN);
  if (ms >= 0) return Math.round(ms);
  throw new CyrvaultError("USAGE", `${option} ${text}: not a length of time`, {
    hint: `write ${option} 30s, 5m, 72h or 3d`,
  });
}
