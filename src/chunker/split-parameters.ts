/** What decides where a message is cut. */
import { assert } from "../base/errors.ts";
import { ATTACHMENT_CUTS, FastCdc } from "./fastcdc.ts";

/** Equal attachments become equal parts only where these are equal: all writers of a repository should have the same. */
export interface SplitParameters {
  /** Base64 bodies of at least so many bytes, decoded, become parts. At most 64 KiB. */
  readonly partBytesMin: number;
  /** The same for all other bodies. */
  readonly textBytesMin: number;
  /** Shorter base64 bodies are kept encoded. */
  readonly decodedBytesMin: number;
  /** Longer parts are cut. Not more than the maximum of `cuts`. */
  readonly wholePartBytesMax: number;
  readonly cuts: FastCdc;
}

const PART_BYTES_MIN_MAX = 64 * 1024;

/** @param seed - 32 bytes that decide where FastCDC cuts; zero by default. */
export function makeSplitParameters(
  values: Partial<Omit<SplitParameters, "cuts">> = {},
  seed?: Uint8Array,
): SplitParameters {
  const parameters = {
    partBytesMin: 4 * 1024,
    textBytesMin: 16 * 1024,
    decodedBytesMin: 192,
    wholePartBytesMax: 1024 * 1024,
    ...values,
    cuts: new FastCdc(ATTACHMENT_CUTS, seed),
  };
  assert(
    parameters.partBytesMin > 0 && parameters.partBytesMin <= PART_BYTES_MIN_MAX,
    `the smallest part has 1 to ${PART_BYTES_MIN_MAX} bytes`,
  );
  return parameters;
}

export const DEFAULT_SPLIT_PARAMETERS = makeSplitParameters();
