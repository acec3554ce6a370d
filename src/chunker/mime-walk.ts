/**
 * Walks a mail's structure from its first byte to its last and tells a visitor what each stretch is. The
 * stretches follow each other without a gap, so whatever a mail looks like, nothing of it is lost: a mistake
 * in its structure makes another cut, never an error. Each byte is looked at a few times at most.
 */
import type { ByteSource } from "./byte-source.ts";
import { BOUNDARY_CHARS_MAX, readEntityHeader } from "./entity-header.ts";

export interface MessageVisitor {
  /** The mail's own header with its blank line, if there is one: at most once, first. */
  header(from: number, to: number): void;
  /** Delimiter lines with the line end before them, headers of parts. May be empty. */
  structure(from: number, to: number): void;
  /** A leaf's body, a preamble, an epilogue, or a rest beyond the limits. May be empty. @param base64 - says its header. */
  body(from: number, to: number, base64: boolean): void;
}

export const ENTITIES_MAX = 2000;
export const NESTING_MAX = 32;
export const HEADER_BYTES_MAX = 256 * 1024;

/** A delimiter with trailing blanks; a longer line is none. */
const DELIMITER_BYTES_MAX = BOUNDARY_CHARS_MAX + 744;
const SCAN_BYTES = 64 * 1024;
const LINE_END_DASHES = Buffer.from("\n--");
const CR = 13;
const LF = 10;
const DASH = 45;

/** A multipart we are inside of. */
interface Level {
  readonly boundary: string;
  readonly closing: string;
  readonly depth: number;
  readonly digest: boolean;
}

interface Delimiter {
  readonly bodyEnd: number;
  readonly lineEnd: number;
  readonly level: number;
  readonly closing: boolean;
}

export function walkMessage(source: ByteSource, visitor: MessageVisitor): void {
  const levels: Level[] = [];
  let position = 0;
  let depth = 0;
  let entities = 0;
  let messageByDefault = false;
  let headerNext = true;
  while (position < source.size) {
    let base64 = false;
    if (headerNext) {
      if (++entities > ENTITIES_MAX) {
        visitor.body(position, source.size, false);
        return;
      }
      const view = source.view(position, HEADER_BYTES_MAX);
      const headerBytes = findHeaderEnd(view, position + view.length === source.size, levels);
      if (headerBytes !== undefined) {
        const header = readEntityHeader(view.toString("latin1", 0, headerBytes), messageByDefault);
        if (position === 0) visitor.header(0, headerBytes);
        else visitor.structure(position, position + headerBytes);
        position += headerBytes;
        if (header.kind === "message" && !header.base64 && depth < NESTING_MAX) {
          depth++;
          messageByDefault = false;
          continue;
        }
        if (header.kind === "multipart" && depth < NESTING_MAX) {
          const { boundary, digest } = header;
          levels.push({ boundary, closing: `${boundary}--`, depth: ++depth, digest });
        } else {
          base64 = header.base64;
        }
      }
    }
    const delimiter = findDelimiter(source, position, levels);
    if (delimiter === undefined) {
      visitor.body(position, source.size, base64);
      return;
    }
    visitor.body(position, delimiter.bodyEnd, base64);
    visitor.structure(delimiter.bodyEnd, delimiter.lineEnd);
    levels.length = delimiter.level + (delimiter.closing ? 0 : 1);
    const level = levels.at(-1);
    depth = level?.depth ?? 0;
    messageByDefault = level?.digest ?? false;
    headerNext = !delimiter.closing;
    position = delimiter.lineEnd;
  }
}

/** Length of the header with its blank line, or up to a delimiter; undefined when neither comes in time. */
function findHeaderEnd(view: Buffer, atEnd: boolean, levels: readonly Level[]): number | undefined {
  const limit = Math.min(view.length, HEADER_BYTES_MAX);
  for (let line = 0; line < limit; ) {
    const first = view[line];
    if (first === LF) return line + 1;
    if (first === CR && view[line + 1] === LF) return line + 2;
    if (
      first === DASH &&
      view[line + 1] === DASH &&
      typeof matchDelimiter(view, line, atEnd, levels) === "object"
    )
      return line;
    const end = view.indexOf(LF, line);
    if (end < 0) return undefined;
    line = end + 1;
  }
  return undefined;
}

/** The next line from `from` (the beginning of a line) that is a delimiter of one of the levels. */
function findDelimiter(source: ByteSource, from: number, levels: readonly Level[]): Delimiter | undefined {
  if (levels.length === 0) return undefined;
  let offset = from - 1;
  while (true) {
    const view = source.view(offset, SCAN_BYTES);
    const atEnd = offset + view.length === source.size;
    let hit = view.indexOf(LINE_END_DASHES);
    while (hit >= 0) {
      const match = matchDelimiter(view, hit + 1, atEnd, levels);
      if (match === "unsure") break;
      if (match !== undefined) {
        const lineEnd = offset + match.lineEnd;
        const before = hit > 0 && view[hit - 1] === CR ? hit - 1 : hit;
        return { ...match, bodyEnd: Math.max(from, offset + before), lineEnd };
      }
      hit = view.indexOf(LINE_END_DASHES, hit + 3);
    }
    if (hit < 0 && atEnd) return undefined;
    // One byte more than the needle could lack, so that a CR before it is seen.
    offset += hit >= 0 ? Math.max(hit - 1, 0) : view.length - LINE_END_DASHES.length;
  }
}

/**
 * Whether the line at `at`, which begins with two dashes, is a delimiter; the innermost level wins.
 * `unsure`: the line's end is beyond the view, which can't happen in the first `SCAN_BYTES` − `DELIMITER_BYTES_MAX`.
 */
function matchDelimiter(
  view: Buffer,
  at: number,
  atEnd: boolean,
  levels: readonly Level[],
): { lineEnd: number; level: number; closing: boolean } | "unsure" | undefined {
  if (at + 2 >= view.length && !atEnd) return "unsure";
  const first = view[at + 2];
  if (!anyBeginsWith(levels, first)) return undefined;
  let end = view.indexOf(LF, at + 2);
  if (end < 0) {
    if (!atEnd && view.length - at <= DELIMITER_BYTES_MAX) return "unsure";
    end = view.length;
  }
  if (end - at > DELIMITER_BYTES_MAX) return undefined;
  const lineEnd = Math.min(end + 1, view.length);
  while (view[end - 1] === CR || view[end - 1] === 0x20 || view[end - 1] === 0x09) end--;
  const line = view.toString("latin1", at + 2, end);
  for (let level = levels.length - 1; level >= 0; level--) {
    const { boundary, closing } = levels[level] as Level;
    if (line === boundary) return { lineEnd, level, closing: false };
    if (line === closing) return { lineEnd, level, closing: true };
  }
  return undefined;
}

/** Rules out most lines that only look like a delimiter, signatures above all. */
function anyBeginsWith(levels: readonly Level[], char: number | undefined): boolean {
  for (const level of levels) if (level.boundary.charCodeAt(0) === char) return true;
  return false;
}
