/**
 * Text from mail, a server or a repository, made safe to print: without this a subject could move the cursor,
 * rename the window, or show a path backwards. Not reversible (a backslash stays as it is), only harmless.
 */

/**
 * Control characters (C0, DEL, C1: both forms of ESC sequences), invisible format characters (bidi marks,
 * overrides and isolates, zero-width spaces, tags), line and paragraph separators, lone surrogates. The two
 * joiners stay: Persian, Indic scripts and emoji need them, and they move nothing.
 */
const UNSAFE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** One line of text: a line feed is escaped too. */
export function escapeForTerminal(text: string): string {
  return text.replace(UNSAFE, escapeCharacter);
}

/** The same, but lines and tabs stay: for texts of our own with foreign words in them. */
export function escapeLinesForTerminal(text: string): string {
  return text.replace(UNSAFE, (c) => (c === "\n" || c === "\t" ? c : escapeCharacter(c)));
}

function escapeCharacter(character: string): string {
  const short = SHORT[character];
  if (short !== undefined) return short;
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}
