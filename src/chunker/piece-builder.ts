/** Makes `head` and `tail` from the stretches that the walk finds, and hands out the parts. */
import { LINE_CHARS_MAX, WrappedDecoder, WrappedEncoder, type Wrapping } from "./base64.ts";
import { type ByteSource, VIEW_BYTES_MAX, viewsOf } from "./byte-source.ts";
import type { MessageVisitor } from "./mime-walk.ts";
import { encodePieceList, type Piece } from "./piece-list.ts";
import type { SplitParameters } from "./split-parameters.ts";
import { StreamCutter } from "./stream-cutter.ts";

/** What would make the tail longer becomes a part, however small: a message's own bytes always fit into memory. */
export const TAIL_BYTES_MAX = 2 * 1024 * 1024;

/** Decoded, encoded and compared at a time: fits the processor's cache. */
const VERIFY_BYTES = 48 * 1024;
/** Used within one call only; kept because taking it anew for each body costs more than filling it. */
let scratch = Buffer.allocUnsafe(64 * 1024);
const CR = 13;
const LF = 10;

export class PieceBuilder implements MessageVisitor {
  readonly #source: ByteSource;
  readonly #parameters: SplitParameters;
  readonly #cutter: StreamCutter;
  readonly #pieces: Piece[] = [];
  readonly #tail: Buffer[] = [];
  readonly #windowed: boolean;
  readonly #take: (bytes: number) => Buffer;
  #header: Buffer = Buffer.alloc(0);
  #tailBytes = 0;
  /** Own bytes not yet put to the tail. */
  #ownFrom = 0;
  #ownTo = 0;
  #references = 0;

  /**
   * @param windowed - the message is never held: views of it don't last, and nobody will compare the whole with its
   *   pieces, so each base64 stretch is encoded again and compared here.
   * @param take - gives room for the decoded bytes of one body, which must last as long as the parts.
   */
  constructor(
    source: ByteSource,
    parameters: SplitParameters,
    windowed: boolean,
    emitPart: (bytes: Uint8Array) => void,
    take: (bytes: number) => Buffer = Buffer.allocUnsafe,
  ) {
    this.#source = source;
    this.#take = take;
    this.#parameters = parameters;
    this.#windowed = windowed;
    this.#cutter = new StreamCutter(parameters.cuts, parameters.wholePartBytesMax, (chunk) => {
      this.#references++;
      emitPart(chunk);
    });
  }

  header(from: number, to: number): void {
    const view = this.#source.view(from, to - from).subarray(0, to - from);
    this.#header = this.#windowed ? Buffer.from(view) : view;
  }

  structure(from: number, to: number): void {
    if (this.#fitsTail(to - from)) this.#keepOwn(from, to);
    else this.#verbatimPart(from, to);
  }

  body(from: number, to: number, base64: boolean): void {
    const rest = base64 ? this.#decodedBody(from, to) : from;
    const { partBytesMin, textBytesMin } = this.#parameters;
    if (to - rest < (base64 ? partBytesMin : textBytesMin)) this.structure(rest, to);
    else this.#verbatimPart(rest, to);
  }

  finish(): { head: Buffer; tail: Buffer } {
    // The last own stretch needs no piece: what is left of the tail is what is left of the message.
    this.#putOwnToTail();
    const list = encodePieceList(this.#source.size, this.#pieces);
    const tail = this.#tail.length === 1 ? (this.#tail[0] as Buffer) : Buffer.concat(this.#tail);
    return { head: Buffer.concat([list, this.#header]), tail };
  }

  #fitsTail(bytes: number): boolean {
    return this.#tailBytes + (this.#ownTo - this.#ownFrom) + bytes <= TAIL_BYTES_MAX;
  }

  #keepOwn(from: number, to: number): void {
    if (this.#ownTo !== from || this.#ownFrom === this.#ownTo) {
      this.#flushOwn();
      this.#ownFrom = from;
    }
    this.#ownTo = to;
  }

  #flushOwn(): void {
    const sourceBytes = this.#putOwnToTail();
    if (sourceBytes > 0) this.#pieces.push({ sourceBytes, references: 0, wrapping: undefined });
  }

  #putOwnToTail(): number {
    const length = this.#ownTo - this.#ownFrom;
    for (const { bytes } of viewsOf(this.#source, this.#ownFrom, this.#ownTo)) this.#addToTail(bytes);
    this.#ownFrom = this.#ownTo;
    return length;
  }

  #addToTail(bytes: Buffer): void {
    this.#tail.push(this.#windowed ? Buffer.from(bytes) : bytes);
    this.#tailBytes += bytes.length;
  }

  #verbatimPart(from: number, to: number): void {
    if (from === to) return;
    this.#flushOwn();
    for (const { bytes, last } of viewsOf(this.#source, from, to)) this.#cutter.push(bytes, last);
    this.#endPart(to - from, undefined);
  }

  #endPart(sourceBytes: number, wrapping: Wrapping | undefined): void {
    this.#pieces.push({ sourceBytes, references: this.#references, wrapping });
    this.#references = 0;
  }

  /** @returns where what could not be decoded begins. */
  #decodedBody(bodyFrom: number, to: number): number {
    const layout = this.#findWrapping(bodyFrom, to);
    if (layout === undefined) return bodyFrom;
    const { from, wrapping } = layout;
    const decoder = new WrappedDecoder(wrapping);
    const encoder = this.#windowed ? new WrappedEncoder(wrapping) : undefined;
    let target: Buffer | undefined;
    let decodedBytes = 0;
    let offset = from;
    while (true) {
      const view = this.#source.view(offset, Math.min(VIEW_BYTES_MAX, to - offset));
      const viewTo = Math.min(view.length, to - offset);
      target ??= this.#take(Math.ceil((viewTo * 3) / 4) + 3);
      const { consumed, decoded } =
        encoder === undefined
          ? decodeAll(view, viewTo, target, decoder)
          : this.#decodeVerified(view, viewTo, target, decoder, encoder);
      const bytes = target.subarray(0, decoded);
      offset += consumed;
      const more = consumed > 0 && !decoder.ended && offset < to && viewTo < to - (offset - consumed);
      if (offset > from && decodedBytes === 0) {
        if (!more && !this.#isPart(decoded, from - bodyFrom))
          return this.#smallDecoded(bodyFrom, from, offset, bytes, wrapping);
        this.structure(bodyFrom, from);
        this.#flushOwn();
      }
      decodedBytes += decoded;
      if (decodedBytes === 0) return bodyFrom;
      this.#cutter.push(bytes, !more);
      if (more) continue;
      this.#endPart(decodedBytes, wrapping);
      return offset;
    }
  }

  #isPart(decodedBytes: number, bytesBefore: number): boolean {
    return decodedBytes >= this.#parameters.partBytesMin || !this.#fitsTail(bytesBefore + decodedBytes);
  }

  #smallDecoded(bodyFrom: number, from: number, to: number, bytes: Buffer, wrapping: Wrapping): number {
    if (bytes.length < this.#parameters.decodedBytesMin) return bodyFrom;
    this.structure(bodyFrom, from);
    this.#flushOwn();
    this.#addToTail(bytes);
    this.#pieces.push({ sourceBytes: bytes.length, references: 0, wrapping });
    return to;
  }

  /** Decodes as much of `view[0, to)` as encodes to the same bytes again. */
  #decodeVerified(
    view: Buffer,
    to: number,
    target: Buffer,
    decoder: WrappedDecoder,
    encoder: WrappedEncoder,
  ): { consumed: number; decoded: number } {
    let consumed = 0;
    let decoded = 0;
    while (consumed < to && !decoder.ended) {
      const end = decoder.decode(view, consumed, Math.min(consumed + VERIFY_BYTES, to), target, decoded);
      const next = decoder.position;
      if (end === decoded) break;
      const block = target.subarray(decoded, end);
      const needed = encoder.capacity(block.length);
      if (scratch === undefined || scratch.length < needed) scratch = Buffer.allocUnsafe(needed);
      let made = encoder.pushInto(block, scratch);
      if (decoder.ended) made = encoder.endInto(scratch, made);
      if (scratch.compare(view, consumed, next, 0, made) !== 0) break;
      consumed = next;
      decoded = end;
    }
    return { consumed, decoded };
  }

  /** How the first line is wrapped, and where it begins: leading line ends are skipped. */
  #findWrapping(bodyFrom: number, to: number): { from: number; wrapping: Wrapping } | undefined {
    const wanted = Math.min(2 * LINE_CHARS_MAX, to - bodyFrom);
    const view = this.#source.view(bodyFrom, wanted).subarray(0, wanted);
    let start = 0;
    while (start < LINE_CHARS_MAX && (view[start] === CR || view[start] === LF)) start++;
    if (start >= view.length) return undefined;
    const end = view.indexOf(LF, start);
    const crlf = end > start && view[end - 1] === CR;
    const lineChars = end < 0 ? 0 : (crlf ? end - 1 : end) - start;
    const unbroken = lineChars === 0 || lineChars > LINE_CHARS_MAX;
    return {
      from: bodyFrom + start,
      wrapping: { lineChars: unbroken ? 0 : lineChars, lineEnd: crlf || unbroken ? "crlf" : "lf" },
    };
  }
}

/** As much of `view[0, to)` as the decoder takes: it is strict, what it takes encodes to the same bytes again. */
function decodeAll(
  view: Buffer,
  to: number,
  target: Buffer,
  decoder: WrappedDecoder,
): { consumed: number; decoded: number } {
  const decoded = decoder.decode(view, 0, to, target, 0);
  return { consumed: decoder.position, decoded };
}
