/**
 * Shows how far a command has come: a line that is drawn over on a terminal, a plain line now and then elsewhere,
 * JSON lines with --json, nothing with --quiet.
 */
import type { Clock } from "../base/clock.ts";
import type { Progress, ProgressSnapshot } from "../base/progress.ts";
import { humanBytes, humanCount, humanDuration } from "./humanise.ts";
import type { Output } from "./output.ts";
import type { Terminal } from "./terminal.ts";

export type ProgressStyle = "line" | "plain" | "json" | "none";

const INTERVAL_MS: Readonly<Record<Exclude<ProgressStyle, "none">, number>> = {
  line: 100,
  plain: 30_000,
  json: 1_000,
};

export interface ProgressDisplayOptions {
  readonly progress: Progress;
  readonly output: Output;
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly style: ProgressStyle;
}

export class ProgressDisplay {
  readonly #options: ProgressDisplayOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ProgressDisplayOptions) {
    this.#options = options;
  }

  start(): void {
    const { style } = this.#options;
    if (style === "none") return;
    this.#timer = setInterval(() => this.draw(), INTERVAL_MS[style]);
    this.#timer.unref();
  }

  draw(): void {
    const { progress, output, terminal, clock, style } = this.#options;
    const snapshot = progress.snapshot(clock.monotonicMs());
    if (snapshot.phase === "" || style === "none") return;
    if (style === "json") output.event(progressEvent(snapshot));
    else if (style === "plain") output.note(progressLine(snapshot));
    else output.status(progressLine(snapshot).slice(0, Math.max(1, terminal.columns - 1)));
  }

  /** Leaves the terminal's line free. With JSON the last figures are given too. */
  stop(): void {
    clearInterval(this.#timer);
    if (this.#options.style === "json") this.draw();
    if (this.#options.style === "line") this.#options.output.status("");
  }
}

/** `mailboxes: 312 of 698, 1.1 GiB (45 %), 85 MiB/s, 17 s left`; `backups: 7,012 objects, 3,100 objects/s, 2.3 s`. */
export function progressLine(snapshot: ProgressSnapshot): string {
  const { phase, done, total, rate, remainingMs, elapsedMs } = snapshot;
  const unit = snapshot.unit === undefined ? "" : ` ${snapshot.unit}`;
  const parts: string[] = [];
  const items = total === undefined || total.items === 0 ? "" : ` of ${humanCount(total.items)}`;
  // A phase may count bytes alone, or nothing.
  if (done.items > 0 || items !== "") parts.push(`${humanCount(done.items)}${items}${unit}`);
  if (done.bytes > 0 || (total?.bytes ?? 0) > 0) {
    const ofBytes = total === undefined || total.bytes === 0 ? "" : ` of ${humanBytes(total.bytes)}`;
    parts.push(`${humanBytes(done.bytes)}${ofBytes}${percent(snapshot)}`);
  } else if (parts.length > 0) parts[0] += percent(snapshot);
  if (rate.bytes > 0) parts.push(`${humanBytes(rate.bytes)}/s`);
  else if (rate.items > 0) parts.push(`${humanCount(rate.items)}${unit}/s`);
  parts.push(remainingMs === undefined ? humanDuration(elapsedMs) : `${humanDuration(remainingMs)} left`);
  return `${phase}: ${parts.join(", ")}`;
}

function percent({ done, total }: ProgressSnapshot): string {
  if (total === undefined) return "";
  const [part, whole] = total.bytes > 0 ? [done.bytes, total.bytes] : [done.items, total.items];
  return whole > 0 ? ` (${Math.min(100, Math.floor((100 * part) / whole))} %)` : "";
}

function progressEvent(snapshot: ProgressSnapshot): object {
  const { phase, unit, elapsedMs, done, total, rate, remainingMs } = snapshot;
  return {
    type: "progress",
    phase,
    ...(unit === undefined ? {} : { unit }),
    elapsedSeconds: elapsedMs / 1000,
    done,
    ...(total === undefined ? {} : { total }),
    rate: { items: Math.round(rate.items), bytes: Math.round(rate.bytes) },
    ...(remainingMs === undefined ? {} : { remainingSeconds: Math.round(remainingMs / 1000) }),
  };
}
