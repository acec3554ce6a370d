/** Which messages of a window can be written: those of which everything that is put aside is there, or will be in time. */
import type { MessageWindow } from "./window.ts";

interface Waiting {
  /** Copies that have not been made. */
  missing: number;
  /** Copies that have been sent to a worker, and to which, as long as it is one. */
  sent: number;
  port: number | undefined;
  mixed: boolean;
}

/**
 * A worker does one task after the other, so what it has been sent before is there when it needs it. A copy that could not
 * be made is not told: the message that is put together without it is not the one that its id says.
 */
export class WindowWork {
  readonly window: MessageWindow;
  readonly #waiting = new Map<number, Waiting>();
  readonly #refused = new Set<number>();

  constructor(window: MessageWindow) {
    this.window = window;
  }

  noteSent(row: number, port: number): void {
    let waiting = this.#waiting.get(row);
    if (waiting === undefined) {
      waiting = { missing: this.window.copiesOf(row), sent: 0, port: undefined, mixed: false };
      this.#waiting.set(row, waiting);
    }
    waiting.sent++;
    waiting.mixed ||= waiting.port !== undefined && waiting.port !== port;
    waiting.port = port;
  }

  noteDone(row: number): void {
    const waiting = this.#waiting.get(row);
    if (waiting !== undefined) waiting.missing--;
  }

  /** Whether that worker can write it now; if not, it is one of those left. */
  isWhole(row: number, port: number): boolean {
    const copies = this.window.copiesOf(row);
    if (copies === 0) return true;
    const waiting = this.#waiting.get(row);
    const isWhole =
      waiting !== undefined &&
      (waiting.missing === 0 || (waiting.sent === copies && !waiting.mixed && waiting.port === port));
    if (!isWhole) this.#refused.add(row);
    return isWhole;
  }

  noteTaken(row: number): void {
    this.#waiting.delete(row);
  }

  left(): number[] {
    return [...this.#refused];
  }
}
