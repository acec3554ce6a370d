/** Columns for a terminal. Rows go out in batches, so that a table of any length costs no memory. */
import { escapeForTerminal } from "../base/escape.ts";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

const BATCH_ROWS = 500;
const GAP = "  ";

export class Table {
  readonly #columns: readonly Column[];
  readonly #write: (text: string) => Promise<void>;
  readonly #widths: number[];
  #rows: string[][] = [];
  #headWritten = false;

  constructor(columns: readonly Column[], write: (text: string) => Promise<void>) {
    this.#columns = columns;
    this.#write = write;
    this.#widths = columns.map(({ title }) => title.length);
  }

  /** Cells are escaped here: they may hold anybody's text. */
  async row(...cells: readonly string[]): Promise<void> {
    this.#rows.push(cells.map(escapeForTerminal));
    if (this.#rows.length >= BATCH_ROWS) await this.#flush();
  }

  /** A table without rows prints nothing. */
  async end(): Promise<void> {
    if (this.#rows.length > 0) await this.#flush();
  }

  async #flush(): Promise<void> {
    for (const row of this.#rows)
      row.forEach((cell, i) => {
        this.#widths[i] = Math.max(this.#widths[i] ?? 0, displayWidth(cell));
      });
    const lines = this.#rows.map((row) => this.#line(row));
    if (!this.#headWritten) lines.unshift(this.#line(this.#columns.map(({ title }) => title)));
    this.#headWritten = true;
    this.#rows = [];
    await this.#write(`${lines.join("\n")}\n`);
  }

  #line(cells: readonly string[]): string {
    const padded = cells.map((cell, i) => {
      const blanks = " ".repeat(Math.max(0, (this.#widths[i] ?? 0) - displayWidth(cell)));
      return this.#columns[i]?.align === "right" ? blanks + cell : cell + blanks;
    });
    return padded.join(GAP).trimEnd();
  }
}

/** East Asian wide characters and emoji take two cells, combining marks none: enough to keep columns straight. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{M}|\u200c|\u200d/u.test(character)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}
