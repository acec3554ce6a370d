/**
 * Where filesystems are mounted on this machine now: a snapshot of one filesystem has nothing but an empty
 * directory at the places where others are mounted in the live tree.
 */
import { readFileSync } from "node:fs";
import { type ByteString, fromBytes } from "../base/byte-string.ts";
import { systemCode } from "../base/errors.ts";

/** Mount points; empty where the system does not tell. */
export function hostMountPoints(file = "/proc/self/mountinfo"): ByteString[] {
  let text: ByteString;
  try {
    text = fromBytes(readFileSync(file));
  } catch (error) {
    if (systemCode(error) !== undefined) return [];
    throw error;
  }
  return parseMountPoints(text);
}

/** Field 5 of each line, with blanks and backslashes as octal (proc(5)). */
export function parseMountPoints(text: ByteString): ByteString[] {
  const points: ByteString[] = [];
  for (const line of text.split("\n")) {
    const field = line.split(" ")[4];
    if (field === undefined) continue;
    points.push(
      field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ) as ByteString,
    );
  }
  return points;
}
