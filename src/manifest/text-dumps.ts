import { type ByteString, joinPath } from "../base/byte-string.ts";

/** Below the configdirectory. No file of the server: a backup made them of its databases, for people. */
const DIRECTORY = "cyrvault-text-dumps" as ByteString;

/** All that there can be, of whichever version. */
export const TEXT_DUMP_NAMES = [
  "README.txt",
  "annotations.flat",
  "annotations.txt",
  "quotas.flat",
  "quotas.txt",
  "seen.txt",
  "subscriptions.txt",
] as const;

export function textDumpDirectory(configDirectory: ByteString): ByteString {
  return joinPath(configDirectory, DIRECTORY);
}

export function isTextDump(path: ByteString): boolean {
  return path.endsWith(`/${DIRECTORY}`) || path.includes(`/${DIRECTORY}/`);
}
