/** The calendar that retention goes by: days and weeks as people at the place count them. */

export interface CalendarTime {
  /** `2026-11-20`. */
  readonly day: string;
  /** `03`. */
  readonly hour: string;
  /** ISO 8601, Monday first: `2026-W47`. */
  readonly week: string;
}

/** @param timeMs - since the epoch. */
export type ToCalendar = (timeMs: number) => CalendarTime;

const DAY_MS = 86_400_000;

/** In the time zone of this process. */
export const localCalendar: ToCalendar = (timeMs) => {
  const date = new Date(timeMs);
  return calendarOf(date.getFullYear(), date.getMonth(), date.getDate(), date.getHours());
};

export const utcCalendar: ToCalendar = (timeMs) => {
  const date = new Date(timeMs);
  return calendarOf(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate(), date.getUTCHours());
};

/** @param month - from 0. */
function calendarOf(year: number, month: number, dayOfMonth: number, hour: number): CalendarTime {
  const two = (n: number) => String(n).padStart(2, "0");
  const midnight = Date.UTC(year, month, dayOfMonth);
  // A week belongs to the year that its Thursday lies in.
  const daysToThursday = 4 - (new Date(midnight).getUTCDay() || 7);
  const thursday = new Date(midnight + daysToThursday * DAY_MS);
  const weekYear = thursday.getUTCFullYear();
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(weekYear, 0, 1)) / DAY_MS / 7);
  return {
    day: `${String(year).padStart(4, "0")}-${two(month + 1)}-${two(dayOfMonth)}`,
    hour: two(hour),
    week: `${weekYear}-W${two(week)}`,
  };
}
