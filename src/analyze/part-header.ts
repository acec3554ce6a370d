/**
 * What the header of a part says about it to a person: its name, its type. A name is the sender's word: shorten
 * here, escape where it is shown.
 */
import { decodeBytes, decodeRaw, decodeWords } from "../chunker/encoded-words.ts";

export interface PartHeader {
  readonly name: string | undefined;
  /** `application/pdf`, lower case. */
  readonly type: string;
  /** Something to be kept as a file: it has a name, is called an attachment, or is no text. */
  readonly isAttachment: boolean;
}

/** Headers of parts are short; names beyond this many bytes of one are not looked for. */
export const PART_HEADER_BYTES_MAX = 16 * 1024;
const NAME_CHARS_MAX = 200;
/** `name*12*`: the pieces of a long parameter (RFC 2231). */
const SECTIONS_MAX = 100;

const FIELD = /(?:^|\n)content-(type|disposition)[ \t]*:((?:[^\r\n]|\r?\n[ \t]|\r(?!\n))*)/gi;
const PARAMETER =
  /;[ \t\r\n]*([a-z]{1,16})(?:\*(\d{1,2}))?(\*)?[ \t\r\n]*=[ \t\r\n]*(?:"((?:[^"\\]|\\[\s\S])*)"|([^\s;"]*))/gi;

/** @param text - one character a byte; lines before the header (a delimiter) do no harm. */
export function readPartHeader(text: string): PartHeader {
  const fields: Record<string, string> = {};
  for (const match of text.slice(0, PART_HEADER_BYTES_MAX).matchAll(FIELD)) {
    const field = (match[1] as string).toLowerCase();
    fields[field] ??= match[2] as string;
  }
  const { type: contentType = "", disposition = "" } = fields;
  const type = /^\s*([a-z0-9!#$&^_.+-]{1,64}\/[a-z0-9!#$&^_.+-]{1,64})/i
    .exec(contentType)?.[1]
    ?.toLowerCase();
  const name = parameter(disposition, "filename") ?? parameter(contentType, "name");
  const isAttachment =
    name !== undefined ||
    /^\s*attachment\b/i.test(disposition) ||
    (type !== undefined && !/^(text|message|multipart)\//.test(type));
  return { name, type: type ?? "text/plain", isAttachment };
}

function parameter(field: string, wanted: string): string | undefined {
  let plain: string | undefined;
  const sections: { raw: string; encoded: boolean }[] = [];
  for (const match of field.matchAll(PARAMETER)) {
    const [, name = "", section, star, quoted, token = ""] = match;
    if (name.toLowerCase() !== wanted) continue;
    const raw = quoted?.replace(/\\([\s\S])/g, "$1") ?? token;
    if (section === undefined && star === undefined) plain ??= raw;
    else sections[Number(section ?? 0) % SECTIONS_MAX] ??= { raw, encoded: star !== undefined };
  }
  const text = sections[0] === undefined ? plain && decodeWords(plain) : joinSections(sections);
  // Some give a path; blanks at the ends and folding say nothing.
  const name = text?.replace(/\s+/g, " ").trim();
  return name === undefined || name === "" ? undefined : shortened(name);
}

/** RFC 2231: `charset'language'percent-encoded`, the first section alone naming the charset. */
function joinSections(sections: readonly ({ raw: string; encoded: boolean } | undefined)[]): string {
  let charset: string | undefined;
  let bytes = "";
  for (const [index, section] of sections.entries()) {
    if (section === undefined) break;
    let { raw } = section;
    if (section.encoded) {
      const prefix = index === 0 ? /^([^']*)'[^']*'/.exec(raw) : null;
      if (prefix !== null) {
        charset = prefix[1];
        raw = raw.slice(prefix[0].length);
      }
      raw = raw.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      );
    }
    bytes += raw;
  }
  return charset === undefined || charset === ""
    ? decodeRaw(bytes)
    : decodeBytes(Buffer.from(bytes, "latin1"), charset);
}

function shortened(name: string): string {
  const characters = Array.from(name.slice(0, 2 * NAME_CHARS_MAX));
  return characters.length <= NAME_CHARS_MAX ? name : `${characters.slice(0, NAME_CHARS_MAX - 1).join("")}…`;
}
