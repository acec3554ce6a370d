/**
 * Patterns for mailbox names, as in IMAP LIST: `*` is anything, `%` anything without the separator.
 * Time is at most proportional to pattern times name: no pattern can make a match explode.
 */
import type { ByteString } from "../base/byte-string.ts";
import { externalName } from "./mailbox-name.ts";

export type NameMatcher = (name: ByteString) => boolean;

/**
 * A pattern with a `/` is taken for the external form (`user/anna/%`), any other for the internal one
 * (`user.anna.%`). Either way the matcher takes internal names. Without wildcards it matches one name only.
 */
export function compileNamePattern(pattern: ByteString): NameMatcher {
  if (!pattern.includes("/")) return (name) => matchesPattern(pattern, name, ".");
  const style = { unixHierarchySeparator: true, virtualDomains: true };
  return (name) => matchesPattern(pattern, externalName(name, style), "/");
}

/** All states of the pattern at once: `reached[i]` says that the first i characters of the pattern fit so far. */
export function matchesPattern(pattern: string, name: string, separator: string): boolean {
  if (!/[*%]/.test(pattern)) return pattern === name;
  const length = pattern.length;
  let reached = new Uint8Array(length + 1);
  let following = new Uint8Array(length + 1);
  reached[0] = 1;
  skipWildcards(pattern, reached);
  for (let at = 0; at < name.length; at++) {
    const char = name[at];
    following.fill(0);
    for (let i = 0; i < length; i++) {
      if (reached[i] === 0) continue;
      const expected = pattern[i];
      if (expected === "*" || (expected === "%" && char !== separator)) following[i] = 1;
      else if (expected === char && expected !== "%") following[i + 1] = 1;
    }
    skipWildcards(pattern, following);
    [reached, following] = [following, reached];
  }
  return reached[length] === 1;
}

/** A wildcard can stand for nothing. */
function skipWildcards(pattern: string, states: Uint8Array): void {
  for (let i = 0; i < pattern.length; i++)
    if (states[i] === 1 && (pattern[i] === "*" || pattern[i] === "%")) states[i + 1] = 1;
}
