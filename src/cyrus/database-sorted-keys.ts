/** Keys in order, in runs of bounded length: setting and deleting cost the logarithm of the number plus one run. */
const RUN_MAX = 512;

interface Run<T> {
  readonly keys: string[];
  readonly values: T[];
}

export class SortedKeys<T> {
  readonly #runs: Run<T>[] = [];

  set(key: string, value: T): void {
    const last = this.#runs.at(-1);
    if (last === undefined) {
      this.#runs.push({ keys: [key], values: [value] });
      return;
    }
    const runIndex = Math.max(0, this.#runIndex(key));
    const run = this.#runs[runIndex] as Run<T>;
    const at = countBelow(run.keys, key);
    if (run.keys[at] === key) {
      run.values[at] = value;
      return;
    }
    run.keys.splice(at, 0, key);
    run.values.splice(at, 0, value);
    if (run.keys.length > RUN_MAX) {
      const half = RUN_MAX / 2;
      this.#runs.splice(runIndex + 1, 0, { keys: run.keys.splice(half), values: run.values.splice(half) });
    }
  }

  /** Deletes the greatest key below `key`, if there is one. */
  deleteBelow(key: string): void {
    let runIndex = this.#runIndex(key);
    if (runIndex < 0) return;
    const run = this.#runs[runIndex] as Run<T>;
    let at = countBelow(run.keys, key) - 1;
    if (at < 0) {
      runIndex--;
      at = (this.#runs[runIndex]?.keys.length ?? 0) - 1;
    }
    this.#deleteAt(runIndex, at);
  }

  deleteGreatest(): void {
    const runIndex = this.#runs.length - 1;
    this.#deleteAt(runIndex, (this.#runs[runIndex]?.keys.length ?? 0) - 1);
  }

  /** In key order. */
  values(): T[] {
    return this.#runs.flatMap((run) => run.values);
  }

  #deleteAt(runIndex: number, at: number): void {
    const run = this.#runs[runIndex];
    if (run === undefined || at < 0) return;
    run.keys.splice(at, 1);
    run.values.splice(at, 1);
    if (run.keys.length === 0) this.#runs.splice(runIndex, 1);
  }

  /** The last run whose first key is not above `key`; -1 when there is none. */
  #runIndex(key: string): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (((this.#runs[middle] as Run<T>).keys[0] as string) <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function countBelow(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
