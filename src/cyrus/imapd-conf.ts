/**
 * Reads imapd.conf exactly as Cyrus does: a file that Cyrus refuses to start with is CONFIG_INVALID here too (but for
 * values of options that we have no use for: those are not judged).
 *
 * Pure but for the injected reader, through which included files come. What the options mean is
 * imapd-conf-layout.ts. Rules: cyrus-imapd 1f3a129, lib/libconfig.c, config_read_file(), config_parse_switch(),
 * config_parseduration(). Observed on 3.6.1 with `cyr_info conf`: odd continuations, comments, double options.
 */
import { type ByteString, fromBytes } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";

export interface ConfigFile {
  readonly path: ByteString;
  readonly bytes: Uint8Array;
}

export interface ConfigEntry {
  readonly value: ByteString;
  readonly file: ByteString;
  /** From 1; of a continued line, the last one. */
  readonly line: number;
}

export interface ImapdConf {
  /** By key, in lower case. Unknown keys too: partitions and much else are among them. */
  readonly entries: ReadonlyMap<string, ConfigEntry>;
  /** The main file and every included one, in the order of reading. */
  readonly files: readonly ConfigFile[];
}

/** Undefined: there is no such file. May throw a CyrvaultError of its own. */
export type ReadConfigFile = (path: ByteString) => Uint8Array | undefined;

/** Ours, not Cyrus's. */
const MAX_FILES = 200;

/** @throws CyrvaultError `CONFIG_INVALID`, with file and line. */
export function parseImapdConf(path: ByteString, read: ReadConfigFile): ImapdConf {
  const entries = new Map<string, ConfigEntry>();
  const files: ConfigFile[] = [];
  readFile(path, undefined);
  return { entries, files };

  function readFile(file: ByteString, from: Place | undefined): void {
    const bytes = read(file);
    if (bytes === undefined) throw invalid(`there is no file ${file}`, from ?? { file, line: 0 });
    if (files.some((known) => known.path === file)) throw invalid(`${file} is included twice`, from);
    if (files.length >= MAX_FILES) throw invalid("too many included files", from);
    files.push({ path: file, bytes });
    for (const { text, line } of logicalLines(fromBytes(bytes))) readLine(text, { file, line });
  }

  function readLine(text: string, place: Place): void {
    const match = /^[ \t\v\f\r]*(@?[A-Za-z0-9_-]*)(.?)(.*)$/s.exec(text);
    const [, name = "", separator = "", rest = ""] = match ?? [];
    if (name === "" && (separator === "" || separator === "#")) return;
    if (separator !== ":") throw invalid("this is not `option: value`", place);
    const key = name.toLowerCase();
    const value = trimBlanks(rest) as ByteString;
    if (value === "") throw invalid(`${key} has no value`, place);
    if (key === "@include") {
      readFile(value, place);
      return;
    }
    if (key.startsWith("@")) throw invalid(`unknown directive ${key}`, place);
    if (entries.has(key)) throw invalid(`${key} is given twice`, place);
    entries.set(key, { value, ...place });
  }
}

/** As Cyrus judges a switch: by its first letters, and case matters. Undefined: Cyrus would refuse it. */
export function parseSwitch(text: string): boolean | undefined {
  if (/^(0|n|of|f)/.test(text)) return false;
  if (/^(1|y|on|t)/.test(text)) return true;
  return undefined;
}

export type DurationUnit = "d" | "h" | "m" | "s";

const UNIT_SECONDS: Readonly<Record<string, number>> = { d: 86_400, h: 3600, m: 60, s: 1 };
const MAX_INT32 = 2 ** 31 - 1;

/**
 * `90`, `3d`, `1h30m`, `-5m`: in seconds.
 * @param defaultUnit - for a number at the end without a unit.
 * @returns undefined: Cyrus would refuse it.
 */
export function parseDuration(text: string, defaultUnit: DurationUnit): number | undefined {
  const match = /^(-?)((?:\d+[dhms])*)(\d*)$/.exec(text);
  if (match === null) return undefined;
  const [, sign = "", withUnits = "", bare = ""] = match;
  if (sign !== "" && withUnits === "" && bare === "") return undefined;
  let seconds = 0;
  for (const [, number = "", unit = ""] of withUnits.matchAll(/(\d+)([dhms])/g)) {
    seconds += Number(number) * (UNIT_SECONDS[unit] ?? 0);
  }
  if (bare !== "") seconds += Number(bare) * (UNIT_SECONDS[defaultUnit] ?? 0);
  if (seconds > MAX_INT32) return undefined;
  return sign === "" || seconds === 0 ? seconds : -seconds;
}

export interface Place {
  readonly file: ByteString;
  readonly line: number;
}

export function invalid(why: string, place: Place | undefined): CyrvaultError {
  const where = place === undefined ? "imapd.conf" : `${place.file}${place.line > 0 ? `:${place.line}` : ""}`;
  return new CyrvaultError("CONFIG_INVALID", `${where}: ${why}`, {
    context: { file: place?.file, line: place?.line },
  });
}

interface LogicalLine {
  readonly text: string;
  readonly line: number;
}

/**
 * Lines with those that a backslash continues joined: before comments are looked at, so a comment can go on too. A
 * backslash on the last line without a line end stays; a continued line that never ends is dropped. A line is cut
 * at a NUL byte and then not continued.
 */
function* logicalLines(text: string): Generator<LogicalLine> {
  let parts: string[] = [];
  let line = 0;
  let start = 0;
  while (start < text.length) {
    const end = text.indexOf("\n", start);
    const whole = end >= 0;
    let part = text.slice(start, whole ? end : text.length);
    start = whole ? end + 1 : text.length;
    line++;
    const nul = part.indexOf("\0");
    if (nul >= 0) part = part.slice(0, nul);
    else if (whole && endsInBackslash(parts, part)) {
      parts.push(part);
      // The backslash may be the last byte of an earlier part, when this one is empty.
      while (parts.at(-1) === "") parts.pop();
      parts[parts.length - 1] = (parts.at(-1) ?? "").slice(0, -1);
      continue;
    }
    parts.push(part);
    yield { text: parts.join(""), line };
    parts = [];
  }
}

function endsInBackslash(parts: readonly string[], part: string): boolean {
  if (part !== "") return part.endsWith("\\");
  for (let i = parts.length - 1; i >= 0; i--) if (parts[i] !== "") return (parts[i] ?? "").endsWith("\\");
  return false;
}

function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}
