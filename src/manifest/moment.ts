/** Moments as people write them after `@`: a date, a time, or how long ago. */

const AGO = /^(\d{1,6})([mhdw])$/;
const AT =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3})\d*)?)?\s?(Z|z|[+-]\d\d(?::?\d\d)?)?)?$/;

const MINUTE_MS = 60_000;
const UNIT_MS: Readonly<Record<string, number>> = {
  m: MINUTE_MS,
  h: 60 * MINUTE_MS,
  d: 24 * 60 * MINUTE_MS,
  w: 7 * 24 * 60 * MINUTE_MS,
};

export interface Wall {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly ms: number;
}

/** What a clock on the wall shows, as ms since the epoch. */
export type FromWall = (wall: Wall) => number;

/** By the time zone of this process. */
export const localTime: FromWall = (w) =>
  new Date(w.year, w.month - 1, w.day, w.hour, w.minute, w.second, w.ms).getTime();

/**
 * `2026-11-20` is the end of that day, `2026-11-20T03:00` (or `:30`, or with a blank for the T) that second to its
 * end; a zone may follow (`Z`, `+01:00`), else `fromWall` decides. `90m`, `3h`, `2d`, `1w` count back from now.
 * @returns undefined for anything else, and for dates that no calendar has.
 */
export function parseMoment(text: string, nowMs: number, fromWall: FromWall = localTime): number | undefined {
  const ago = AGO.exec(text);
  if (ago !== null) return nowMs - Number(ago[1]) * (UNIT_MS[ago[2] as string] as number);
  const parts = AT.exec(text);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second = "0", fraction, zone] = parts;
  const date = { year: Number(year), month: Number(month), day: Number(day) };
  const wall: Wall =
    hour === undefined
      ? { ...date, hour: 23, minute: 59, second: 59, ms: 999 }
      : {
          ...date,
          hour: Number(hour),
          minute: Number(minute),
          second: Number(second),
          ms: fraction === undefined ? 999 : Number(fraction.padEnd(3, "0")),
        };
  if (!exists(wall)) return undefined;
  if (zone === undefined) return fromWall(wall);
  const offset = zoneMs(zone);
  return offset === undefined ? undefined : utc(wall) - offset;
}

function utc(w: Wall): number {
  return Date.UTC(w.year, w.month - 1, w.day, w.hour, w.minute, w.second, w.ms);
}

function exists(w: Wall): boolean {
  const date = new Date(utc(w));
  return (
    w.year >= 1970 &&
    date.getUTCMonth() === w.month - 1 &&
    date.getUTCDate() === w.day &&
    w.hour < 24 &&
    w.minute < 60 &&
    w.second < 60
  );
}

function zoneMs(zone: string): number | undefined {
  if (zone === "Z" || zone === "z") return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(3).replace(":", "") || "0");
  if (hours > 14 || minutes > 59) return undefined;
  return (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes) * MINUTE_MS;
}
