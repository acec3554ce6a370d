/**
 * What the header of a mail or of one of its parts says about its structure. A hint for where to cut, no more:
 * what is not understood is a leaf.
 */

export interface EntityHeader {
  readonly kind: "leaf" | "multipart" | "message";
  /** Of a multipart; without the two dashes. */
  readonly boundary: string;
  /** The parts of a multipart/digest are messages unless they say otherwise. */
  readonly digest: boolean;
  readonly base64: boolean;
}

/** RFC 2046 allows 70; longer ones occur. */
export const BOUNDARY_CHARS_MAX = 256;
const VALUE_CHARS_MAX = 4096;

const FIELDS = /^content-(?:(type)|transfer-encoding)[ \t]*:/gim;
const BOUNDARY = /;[ \t\r\n]*boundary[ \t\r\n]*=[ \t\r\n]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/i;

/**
 * @param text - the header, one character a byte.
 * @param messageByDefault - what it is without a Content-Type.
 */
export function readEntityHeader(text: string, messageByDefault: boolean): EntityHeader {
  let type: string | undefined;
  let encoding: string | undefined;
  FIELDS.lastIndex = 0;
  while (type === undefined || encoding === undefined) {
    const match = FIELDS.exec(text);
    if (match === null) break;
    if (match[1] === undefined) encoding ??= readValue(text, FIELDS.lastIndex).toLowerCase();
    else type ??= readValue(text, FIELDS.lastIndex);
  }
  const base64 = encoding?.startsWith("base64") === true;
  const media = type?.slice(0, 32).toLowerCase() ?? (messageByDefault ? "message/rfc822" : "text/plain");
  if (type !== undefined && media.startsWith("multipart/")) {
    const boundary = readBoundary(type);
    if (boundary !== "")
      return { kind: "multipart", boundary, digest: media.startsWith("multipart/digest"), base64 };
  }
  const message = /^message\/(?:rfc822|global|news)\b/.test(media);
  return { kind: message ? "message" : "leaf", boundary: "", digest: false, base64 };
}

function readBoundary(contentType: string): string {
  const match = BOUNDARY.exec(contentType);
  const boundary = (match?.[1]?.replace(/\\(.)/g, "$1") ?? match?.[2] ?? "").trimEnd();
  return boundary.length <= BOUNDARY_CHARS_MAX ? boundary : "";
}

/** A field's value with its continuation lines. */
function readValue(text: string, from: number): string {
  const limit = Math.min(text.length, from + VALUE_CHARS_MAX);
  let end = from;
  while (end < limit) {
    end = text.indexOf("\n", end);
    if (end < 0 || end > limit) end = limit;
    const next = text[end + 1];
    if (next !== " " && next !== "\t") break;
    end++;
  }
  return text.slice(from, Math.min(end, limit)).trim();
}
