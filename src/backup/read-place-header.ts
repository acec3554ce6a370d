/** The cyrus.header of a directory that no list names: who is it? */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { type MailboxHeader, parseMailboxHeader } from "../cyrus/mailbox-header.ts";
import { readSourceFile } from "../source/read-file.ts";
import type { MailboxPlace } from "./mailbox-places.ts";

const HEADER_BYTES_MAX = 1024 * 1024;

/** undefined where there is none, or none that can be understood: its capture says so in a finding. */
export function readPlaceHeader(place: MailboxPlace): MailboxHeader | undefined {
  for (const { realPath } of place.directories) {
    try {
      const file = readSourceFile(joinPath(realPath, "cyrus.header" as ByteString), HEADER_BYTES_MAX);
      if (file !== undefined) return parseMailboxHeader(file.bytes);
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
    }
  }
  return undefined;
}
