/**
 * Cyrus's own list notation, used by `cyrus.header`, `mailboxes.db`, quota files and replication:
 *
 *   value   = atom | "quoted" | {n} CRLF bytes | {n+} CRLF bytes | NIL | \Flag
 *           | (value value …) | %(key value key value …) | %{partition guid size} CRLF bytes
 *
 * Reads what Cyrus reads and prints what it prints: cyrus-imapd 1f3a129, imap/dlist.c (dlist_parse, dlist_print),
 * imap/imapparse.c getxstring(), lib/prot.c prot_printastring(). Depth and sizes are bounded; time is linear.
 */
import { type ByteString, fromBytes, toBytes } from "../base/byte-string.ts";
import { CyrvaultError, type ErrorCode } from "../base/errors.ts";

export type Dlist =
  | { readonly kind: "nil" }
  /** Atom, quoted string or literal: which of them follows from the content when it is printed. */
  | { readonly kind: "string"; readonly value: ByteString }
  /** Begins with a backslash, printed bare. */
  | { readonly kind: "flag"; readonly value: ByteString }
  | { readonly kind: "list"; readonly items: readonly Dlist[] }
  /** Order and repeated keys are kept. */
  | { readonly kind: "pairs"; readonly entries: readonly DlistEntry[] }
  | DlistFile;

export interface DlistEntry {
  readonly key: ByteString;
  readonly value: Dlist;
}

/** A message file carried inside a replication command. */
export interface DlistFile {
  readonly kind: "file";
  readonly partition: ByteString;
  /** 40 hex digits. */
  readonly guid: ByteString;
  /** A view into the bytes that were parsed. */
  readonly content: Uint8Array;
}

export interface ParseDlistOptions {
  /** Where the value begins. Default 0. */
  readonly offset?: number;
  /** Names the thing in errors. */
  readonly what?: string;
  readonly code?: ErrorCode;
}

export interface ParsedDlist {
  readonly value: Dlist;
  /** Offset of the first byte after the value. */
  readonly end: number;
}

/** Real ones nest four deep (a record's annotations in a full mailbox). */
const MAX_DEPTH = 64;
/** Longer strings are printed as literals. */
const MAX_QUOTED = 1024;
const MAX_LITERAL_DIGITS = 10;
const BACKSLASH = 0x5c;
const CR = 0x0d;
const LF = 0x0a;
const QUOTE = 0x22;
const OPEN = 0x28;
const CLOSE = 0x29;
const PERCENT = 0x25;
const BRACE = 0x7b;
const BRACE_END = 0x7d;
const PLUS = 0x2b;
const SPACE = 0x20;

/** Parses one value and says where it ended. */
export function parseDlist(bytes: Uint8Array, options: ParseDlistOptions = {}): ParsedDlist {
  const parser = new Parser(bytes, options);
  const value = parser.value(0);
  return { value, end: parser.offset };
}

/** Parses bytes that are one value and nothing after it. */
export function parseWholeDlist(bytes: Uint8Array, options: ParseDlistOptions = {}): Dlist {
  const { value, end } = parseDlist(bytes, options);
  if (end !== bytes.length) throw new Parser(bytes, { ...options, offset: end }).bad("bytes after the end");
  return value;
}

export interface PrintDlistOptions {
  /** `{n+}`, as a client of the replication protocol must write literals. Default `{n}`. */
  readonly clientLiterals?: boolean;
}

export function printDlist(value: Dlist, options: PrintDlistOptions = {}): Buffer {
  const out: Buffer[] = [];
  print(value, options.clientLiterals === true ? "+" : "", out);
  return Buffer.concat(out);
}

/** The first value with this key, undefined if there is none or `list` is not pairs. */
export function pairValue(list: Dlist, key: string): Dlist | undefined {
  return list.kind === "pairs" ? list.entries.find((entry) => entry.key === key)?.value : undefined;
}

/** The text of the first value with this key; undefined if it is absent, NIL or not text. */
export function pairText(list: Dlist, key: string): ByteString | undefined {
  const value = pairValue(list, key);
  return value?.kind === "string" || value?.kind === "flag" ? value.value : undefined;
}

class Parser {
  offset: number;
  readonly #bytes: Buffer;
  readonly #what: string;
  readonly #code: ErrorCode;

  constructor(bytes: Uint8Array, options: ParseDlistOptions) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = options.what ?? "dlist";
    this.#code = options.code ?? "CYRUS_BAD_FORMAT";
    this.offset = options.offset ?? 0;
  }

  bad(why: string): CyrvaultError {
    return new CyrvaultError(this.#code, `${this.#what}: ${why}`, { context: { offset: this.offset } });
  }

  value(depth: number): Dlist {
    if (depth > MAX_DEPTH) throw this.bad("nested too deeply");
    switch (this.#peek()) {
      case OPEN:
        this.offset++;
        return { kind: "list", items: this.#until(() => this.value(depth + 1)) };
      case PERCENT:
        this.offset++;
        if (this.#peek() === BRACE) return this.#file();
        this.#expect(OPEN, "( or { after %");
        return { kind: "pairs", entries: this.#until(() => this.#entry(depth + 1)) };
      case BACKSLASH:
        return { kind: "flag", value: this.#atom() };
      case QUOTE:
      case BRACE:
        return { kind: "string", value: this.#string() };
      default: {
        const value = this.#atom();
        return value === "NIL" ? { kind: "nil" } : { kind: "string", value };
      }
    }
  }

  #entry(depth: number): DlistEntry {
    const key = this.#string();
    this.#blanks();
    return { key, value: this.value(depth) };
  }

  #until<T>(next: () => T): T[] {
    const items: T[] = [];
    this.#blanks();
    while (this.#peek() !== CLOSE) {
      items.push(next());
      this.#blanks();
    }
    this.offset++;
    return items;
  }

  #string(): ByteString {
    const first = this.#peek();
    if (first === QUOTE) return this.#quoted();
    if (first === BRACE) return fromBytes(this.#literal());
    return this.#atom();
  }

  #atom(): ByteString {
    const start = this.offset;
    const { length } = this.#bytes;
    while (this.offset < length && !endsAtom(this.#bytes[this.offset] as number)) this.offset++;
    if (this.offset === start) throw this.bad("a value was expected");
    return this.#bytes.toString("latin1", start, this.offset) as ByteString;
  }

  #quoted(): ByteString {
    const start = ++this.offset;
    let escapes = false;
    for (;;) {
      const c = this.#peek();
      if (c === QUOTE) break;
      if (c === CR || c === LF) throw this.bad("a line ends inside quotes");
      if (c === BACKSLASH) {
        escapes = true;
        this.offset++;
        this.#peek();
      }
      this.offset++;
    }
    const text = this.#bytes.toString("latin1", start, this.offset++) as ByteString;
    return escapes ? (text.replace(/\\(.)/gs, "$1") as ByteString) : text;
  }

  #literal(): Buffer {
    this.offset++;
    const size = this.#number();
    if (this.#peek() === PLUS) this.offset++;
    this.#expect(BRACE_END, "} after a literal's length");
    this.#expect(CR, "a line end after a literal's length");
    this.#expect(LF, "a line end after a literal's length");
    return this.#take(size);
  }

  #file(): DlistFile {
    this.offset++;
    const partition = this.#string();
    this.#expect(SPACE, "a blank after the partition");
    const guid = this.#string();
    if (!/^[0-9a-fA-F]{40}$/.test(guid)) throw this.bad("a file's GUID is not 40 hex digits");
    this.#expect(SPACE, "a blank after the GUID");
    const size = this.#number();
    this.#expect(BRACE_END, "} after a file's length");
    if (this.#peek() === CR) this.offset++;
    this.#expect(LF, "a line end after a file's length");
    return { kind: "file", partition, guid, content: this.#take(size) };
  }

  #number(): number {
    const start = this.offset;
    while (isDigit(this.#bytes[this.offset])) this.offset++;
    const digits = this.offset - start;
    if (digits === 0 || digits > MAX_LITERAL_DIGITS) throw this.bad("a length was expected");
    return Number(this.#bytes.toString("latin1", start, this.offset));
  }

  #take(size: number): Buffer {
    if (size > this.#bytes.length - this.offset) throw this.bad(`cut short: ${size} bytes wanted`);
    const view = this.#bytes.subarray(this.offset, this.offset + size);
    this.offset += size;
    return view;
  }

  #blanks(): void {
    while (isBlank(this.#bytes[this.offset])) this.offset++;
  }

  #peek(): number {
    const c = this.#bytes[this.offset];
    if (c === undefined) throw this.bad("cut short");
    return c;
  }

  #expect(byte: number, what: string): void {
    if (this.#peek() !== byte) throw this.bad(`expected ${what}`);
    this.offset++;
  }
}

function print(value: Dlist, plus: string, out: Buffer[]): void {
  switch (value.kind) {
    case "nil":
      out.push(Buffer.from("NIL"));
      break;
    case "string":
      out.push(printString(value.value, plus));
      break;
    case "flag":
      // Whatever the parser takes for one, sensible or not.
      if (!/^\\[^\t-\r ()"]*$/.test(value.value)) throw new RangeError("not a system flag");
      out.push(toBytes(value.value));
      break;
    case "list":
      out.push(Buffer.from("("));
      for (const [i, item] of value.items.entries()) {
        if (i > 0) out.push(Buffer.from(" "));
        print(item, plus, out);
      }
      out.push(Buffer.from(")"));
      break;
    case "pairs":
      out.push(Buffer.from("%("));
      for (const [i, entry] of value.entries.entries()) {
        if (i > 0) out.push(Buffer.from(" "));
        out.push(printString(entry.key, plus), Buffer.from(" "));
        print(entry.value, plus, out);
      }
      out.push(Buffer.from(")"));
      break;
    case "file":
      out.push(
        Buffer.from("%{"),
        printString(value.partition, plus),
        Buffer.from(` ${value.guid} ${value.content.length}}\r\n`, "latin1"),
        Buffer.from(value.content),
      );
      break;
  }
}

function printString(value: ByteString, plus: string): Buffer {
  if (value === "") return Buffer.from('""');
  if (value !== "NIL" && isBare(value)) return toBytes(value);
  if (value.length < MAX_QUOTED && !/[\x00\x80-\xff\r\n"%\\]/.test(value)) {
    return Buffer.from(`"${value}"`, "latin1");
  }
  return Buffer.from(`{${value.length}${plus}}\r\n${value}`, "latin1");
}

/** imparse_isatom(): what can stand without quotes. */
function isBare(value: string): boolean {
  return value.length > 0 && value.length < MAX_QUOTED && !/[\x00-\x20\x7f-\xff{()"%*\\]/.test(value);
}

function endsAtom(c: number): boolean {
  return isBlank(c) || c === OPEN || c === CLOSE || c === QUOTE;
}

function isBlank(c: number | undefined): boolean {
  return c === SPACE || (c !== undefined && c >= 0x09 && c <= CR);
}

function isDigit(c: number | undefined): boolean {
  return c !== undefined && c >= 0x30 && c <= 0x39;
}
