/** Figures for people. Units are decimal: 1 MB is 1,000,000 bytes. */
import { summarise } from "../measure/statistics.ts";

export function secondsText(seconds: number): string {
  const digits = seconds < 10 ? 2 : seconds < 100 ? 1 : 0;
  return `${countText(seconds, digits)} s`;
}

export function bytesText(bytes: number): string {
  if (bytes < 100_000) return `${(bytes / 1e3).toFixed(1)} KB`;
  return bytes < 1e10
    ? `${countText(bytes / 1e6, bytes < 1e8 ? 1 : 0)} MB`
    : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** With commas. */
export function countText(count: number, digits = 0): string {
  return count.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** `1/8.3` below 1, which is how the targets are put; else `1.04`. */
export function ratioText(ratio: number): string {
  if (ratio >= 0.6 || ratio <= 0) return ratio.toFixed(2);
  return `${ratio.toFixed(ratio < 0.1 ? 4 : 2)} (1/${(1 / ratio).toFixed(1)})`;
}

/** `2.31 s (2.25–2.40, 3 rounds)`. */
export function spreadText(values: readonly number[], text: (value: number) => string): string {
  const summary = summarise(values);
  if (summary === undefined) return "–";
  const { median, min, max, rounds } = summary;
  if (rounds === 1) return text(median);
  return `${text(median)} (${text(min)} – ${text(max)}, ${rounds} rounds)`;
}
