/** Excluded mailboxes are each named in the manifest root, which has a greatest size: better said before all has been read. */
import type { ByteString } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { MAX_ROOT_BYTES } from "../manifest/root.ts";

/** Why, and how much of it, as the root says it. */
const BYTES_BESIDE_NAME = 150;
const BYTES_FOR_THE_REST = 2 * 1024 * 1024;

/** @throws {CyrvaultError} `USAGE`: they are too many. */
export function requireRoomFor(excluded: Iterable<ByteString>): void {
  let bytes = 0;
  let count = 0;
  for (const name of excluded) {
    bytes += name.length + BYTES_BESIDE_NAME;
    count++;
  }
  if (bytes <= MAX_ROOT_BYTES - BYTES_FOR_THE_REST) return;
  throw new CyrvaultError(
    "USAGE",
    `${count} mailboxes are excluded: more than a backup can name one by one`,
    {
      hint: "back up what is wanted of the server under several --server names, or exclude fewer",
      context: { bytes, most: MAX_ROOT_BYTES - BYTES_FOR_THE_REST },
    },
  );
}
