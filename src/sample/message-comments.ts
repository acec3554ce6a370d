/** Comments on messages of a sample mailbox: `/comment` in its `cyrus.annotations`. */
import { rmSync } from "node:fs";
import { type ByteString, fromText } from "../base/byte-string.ts";
import type { MessageAnnotation } from "../cyrus/sync-crc.ts";
import { encodeTwoskip } from "../cyrus/twoskip-encode.ts";
import { annotationRecords } from "./database-values.ts";
import { replaceFile } from "./disk.ts";

const ENTRY = fromText("/comment");
const SHARED = "" as ByteString;

export interface MessageComment {
  readonly uid: number;
  readonly text: string;
}

export function* annotationsOf(
  wanted: number,
  comments: readonly MessageComment[],
): Generator<MessageAnnotation> {
  for (const { uid, text } of comments)
    if (uid === wanted) yield { entry: ENTRY, userId: SHARED, value: Buffer.from(text) };
}

/** Without comments there is no file. */
export function writeComments(path: string, comments: readonly MessageComment[]): void {
  if (comments.length === 0) {
    rmSync(path, { force: true });
    return;
  }
  const records = annotationRecords(
    comments.map(({ uid, text }) => ({
      subject: fromText(String(uid)),
      entry: ENTRY,
      user: SHARED,
      value: text,
    })),
  );
  replaceFile(path, encodeTwoskip(records));
}
