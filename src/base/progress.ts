/**
 * How far a command has come: phases, counts, rate, time left. Values only; drawing a line of it is the
 * command line's affair. Time is handed in (a monotonic one, in ms), so the same calls give the same figures.
 */

export interface Amount {
  /** Messages, files, packs: whatever the phase counts. */
  readonly items: number;
  readonly bytes: number;
}

export interface ProgressSnapshot {
  readonly phase: string;
  /** What the items are; undefined: the phase's name says it. */
  readonly unit?: string | undefined;
  /** In this phase. */
  readonly elapsedMs: number;
  readonly done: Amount;
  /** undefined while it is not known how much there is. Grows while a survey is still under way. */
  readonly total: Amount | undefined;
  /** Per second over the window; 0 until there is something to go by. */
  readonly rate: Amount;
  /** undefined when total or rate is unknown. Where items and bytes disagree: the longer time. */
  readonly remainingMs: number | undefined;
}

interface Sample extends Amount {
  readonly atMs: number;
}

/** Over how long the rate is taken: shorter jumps about, longer lags behind. */
const WINDOW_MS = 15_000;
/** Samples are kept this far apart: at most 61 of them, however often `add` is called. */
const SAMPLE_MS = WINDOW_MS / 60;

export class Progress {
  #phase = "";
  #unit: string | undefined;
  #startedMs = 0;
  #items = 0;
  #bytes = 0;
  #total: Amount | undefined;
  #samples: Sample[] = [];

  /** Starts counting from nothing. @param unit - what the items are, in the plural, where the phase's name is not it. */
  beginPhase(phase: string, nowMs: number, total?: Amount, unit?: string): void {
    this.#phase = phase;
    this.#unit = unit;
    this.#startedMs = nowMs;
    this.#items = 0;
    this.#bytes = 0;
    this.#total = total;
    this.#samples = [{ atMs: nowMs, items: 0, bytes: 0 }];
  }

  setTotal(total: Amount): void {
    this.#total = total;
  }

  add(done: Partial<Amount>, nowMs: number): void {
    this.#items += done.items ?? 0;
    this.#bytes += done.bytes ?? 0;
    const last = this.#samples.at(-1);
    if (last !== undefined && nowMs - last.atMs < SAMPLE_MS) return;
    this.#samples.push({ atMs: nowMs, items: this.#items, bytes: this.#bytes });
    this.#forget(nowMs);
  }

  snapshot(nowMs: number): ProgressSnapshot {
    this.#forget(nowMs);
    const rate = this.#rate(nowMs);
    const done = { items: this.#items, bytes: this.#bytes };
    return {
      phase: this.#phase,
      unit: this.#unit,
      elapsedMs: Math.max(0, nowMs - this.#startedMs),
      done,
      total: this.#total,
      rate,
      remainingMs: this.#total === undefined ? undefined : remainingMs(done, this.#total, rate),
    };
  }

  /** Drops what lies before the window, but keeps one sample at or before its beginning to measure from. */
  #forget(nowMs: number): void {
    let drop = 0;
    while (drop + 1 < this.#samples.length && (this.#samples[drop + 1]?.atMs ?? 0) <= nowMs - WINDOW_MS)
      drop++;
    if (drop > 0) this.#samples.splice(0, drop);
  }

  #rate(nowMs: number): Amount {
    const first = this.#samples[0];
    const ms = first === undefined ? 0 : nowMs - first.atMs;
    if (first === undefined || ms <= 0) return { items: 0, bytes: 0 };
    return {
      items: ((this.#items - first.items) * 1000) / ms,
      bytes: ((this.#bytes - first.bytes) * 1000) / ms,
    };
  }
}

function remainingMs(done: Amount, total: Amount, rate: Amount): number | undefined {
  const items = timeFor(total.items - done.items, rate.items);
  const bytes = timeFor(total.bytes - done.bytes, rate.bytes);
  return items === undefined || bytes === undefined ? undefined : Math.max(items, bytes);
}

function timeFor(left: number, perSecond: number): number | undefined {
  if (left <= 0) return 0;
  return perSecond > 0 ? (left * 1000) / perSecond : undefined;
}
