/** What goes into an archive, read to its end before its size is told. */
import type { ByteString } from "../base/byte-string.ts";
import { toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { isLost } from "../manifest/sound-pages.ts";
import type { TarWriter } from "./tar-writer.ts";

/** Gives the bytes, as often as it is called; throws rather than give wrong ones. */
export type MakeContent = () => AsyncIterable<Uint8Array>;

export interface VerifiedContent {
  readonly size: number;
  /** Undefined: it is to be read again. */
  readonly held: readonly Uint8Array[] | undefined;
}

/** Up to this size it is held in memory. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;

/** @throws {CyrvaultError} what `content` throws. */
export async function verifyContent(
  content: MakeContent,
  signal: AbortSignal | undefined,
): Promise<VerifiedContent> {
  let held: Uint8Array[] | undefined = [];
  let size = 0;
  for await (const stretch of content()) {
    signal?.throwIfAborted();
    size += stretch.length;
    if (size > HELD_BYTES_MAX) held = undefined;
    // Good until the next one is asked for.
    held?.push(Buffer.from(stretch));
  }
  return { size, held };
}

/**
 * Its header is out already: whatever goes wrong now ends the archive.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`: it cannot be read again as it was.
 */
export async function writeContent(
  tar: TarWriter,
  serverPath: ByteString,
  { size, held }: VerifiedContent,
  content: MakeContent,
): Promise<void> {
  if (held !== undefined) {
    for (const stretch of held) await tar.content(stretch);
    return;
  }
  let bytes = 0;
  try {
    for await (const stretch of content()) {
      bytes += stretch.length;
      if (bytes > size) break;
      await tar.content(stretch);
    }
  } catch (error) {
    if (!isLost(error)) throw error;
    throw cutOff(serverPath, error.message, error);
  }
  if (bytes !== size) throw cutOff(serverPath, "it has another size than before");
}

function cutOff(serverPath: ByteString, why: string, cause?: unknown): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_DAMAGED",
    `the archive ends in the middle of ${toText(serverPath)} and must not be used: ${why}`,
    {
      hint: "cyrvault check tells what is damaged",
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
