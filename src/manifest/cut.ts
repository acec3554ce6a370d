/** Where a page ends: decided by a hash of the key that would come next, so that a change moves few ends. */
import type { CutRule, PageKey } from "./page-codec.ts";

export const INNER_CUT: CutRule = { min: 32, avg: 128, max: 512 };
/** Closes a page early whose entries have unusually much in them. */
const WEIGHT_MAX = 512 * 1024;

/**
 * Whether the entry with this key begins a new page.
 *
 * @param count - entries of the page so far. @param weight - their weight in bytes.
 * @param level - 0 for leaves: a key that begins a leaf must not begin every page above it too.
 */
export function cutsBefore(
  key: PageKey,
  level: number,
  rule: CutRule,
  count: number,
  weight: number,
): boolean {
  if (count === 0) return false;
  if (count >= rule.max || weight >= WEIGHT_MAX) return true;
  return count >= rule.min && hashKey(key, level) % (rule.avg - rule.min) === 0;
}

/** FNV-1a for strings, then a mixer of 32 bits. Cheap, the same everywhere; an adversary is held by min and max. */
export function hashKey(key: PageKey, level: number): number {
  let x = typeof key === "number" ? key : fnv1a(key);
  x ^= Math.imul(level, 0x9e3779b9);
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

function fnv1a(key: string): number {
  let x = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) x = Math.imul(x ^ key.charCodeAt(i), 0x01000193);
  return x;
}
