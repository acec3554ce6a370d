/** `--mode`: how a backup comes to one moment of a server. */
import { CyrvaultError } from "../base/errors.ts";

/**
 * `snapshot`: of what holds still, once. `two-pass`: first while mail flows, then what has changed, of what holds
 * still. `live`: mailbox by mailbox, under Cyrus's own locks.
 */
export const BACKUP_MODES = ["snapshot", "two-pass", "live"] as const;
export type BackupMode = (typeof BACKUP_MODES)[number];

/** @throws {CyrvaultError} `USAGE`. */
export function parseMode(text = "snapshot"): BackupMode {
  const mode = BACKUP_MODES.find((known) => known === text);
  if (mode !== undefined) return mode;
  throw new CyrvaultError(
    "USAGE",
    `--mode ${text}: it is ${BACKUP_MODES.slice(0, -1).join(", ")} or ${BACKUP_MODES.at(-1)}`,
  );
}
