/** Ids of backups: `20261120T030000Z-1a2b3c4d`, when and eight random hexadecimal digits. They sort by time. */
import { randomBytes } from "node:crypto";
import { assert } from "../base/errors.ts";

const FORM = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-[0-9a-f]{8}$/;
const RANDOM_BYTES = 4;

/** @param random - 4 bytes. */
export function newBackupId(timeMs: number, random: Uint8Array = randomBytes(RANDOM_BYTES)): string {
  assert(random.length === RANDOM_BYTES, "a backup id has 4 random bytes");
  const utc = new Date(timeMs)
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replace(/[-:]/g, "");
  return `${utc}-${Buffer.from(random).toString("hex")}`;
}

/** The moment in an id, in whole seconds, as ms since the epoch; undefined for anything that is no id. */
export function backupIdTimeMs(id: string): number | undefined {
  const [, year, month, day, hour, minute, second] = FORM.exec(id) ?? [];
  if (year === undefined) return undefined;
  const timeMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(timeMs) ? undefined : timeMs;
}

export function isBackupId(text: string): boolean {
  return backupIdTimeMs(text) !== undefined;
}
