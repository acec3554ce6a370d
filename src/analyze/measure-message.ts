/** Takes a message apart as a backup does, and says what its bodies are as well as what is stored of it. */
import { createHash } from "node:crypto";
import { type ByteSource, viewsOf } from "../chunker/byte-source.ts";
import { type MessageVisitor, walkMessage } from "../chunker/mime-walk.ts";
import { PieceBuilder } from "../chunker/piece-builder.ts";
import { DEFAULT_SPLIT_PARAMETERS } from "../chunker/split-parameters.ts";
import type { PartKind } from "./part-census.ts";
import { PART_HEADER_BYTES_MAX, type PartHeader, readPartHeader } from "./part-header.ts";

/** A body that becomes parts: an attachment, or a long text. */
export interface MeasuredBody {
  readonly header: PartHeader;
  readonly kind: PartKind;
  /** As it stands in the message. */
  readonly encodedBytes: number;
  readonly encodedHash: Buffer;
  /** Of its parts together: decoded, where it could be. */
  readonly bytes: number;
  /** The same for the same parts. */
  readonly hash: Buffer;
}

export interface MeasuredMessage {
  readonly size: number;
  readonly bodies: readonly MeasuredBody[];
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /** Every part, in order; also those of long stretches that are no body. */
  readonly parts: readonly { readonly hash: Buffer; readonly bytes: number }[];
}

/**
 * @param copy - views of the source don't last.
 * @param onPart - a part's bytes, its SHA-256, and what it is of; the bytes hold during the call only.
 */
export function measureMessage(
  source: ByteSource,
  copy: boolean,
  onPart: (bytes: Uint8Array, hash: Buffer, kind: PartKind) => void,
): MeasuredMessage {
  const meter = new MessageMeter(source, copy, onPart);
  walkMessage(source, meter);
  return meter.finish();
}

class MessageMeter implements MessageVisitor {
  readonly #source: ByteSource;
  readonly #builder: PieceBuilder;
  readonly #parts: { hash: Buffer; bytes: number }[] = [];
  readonly #bodies: MeasuredBody[] = [];
  #headerFrom = 0;
  #headerTo = 0;
  /** Read once for each body that gets as far as a part. */
  #partHeader: PartHeader | undefined;

  constructor(
    source: ByteSource,
    copy: boolean,
    onPart: (bytes: Uint8Array, hash: Buffer, kind: PartKind) => void,
  ) {
    this.#source = source;
    this.#builder = new PieceBuilder(source, DEFAULT_SPLIT_PARAMETERS, copy, (bytes) => {
      const hash = createHash("sha256").update(bytes).digest();
      this.#parts.push({ hash, bytes: bytes.length });
      onPart(bytes, hash, this.#kind);
    });
  }

  header(from: number, to: number): void {
    this.#headerAt(from, to);
    this.#builder.header(from, to);
  }

  structure(from: number, to: number): void {
    this.#headerAt(from, to);
    this.#builder.structure(from, to);
  }

  body(from: number, to: number, base64: boolean): void {
    const first = this.#parts.length;
    this.#builder.body(from, to, base64);
    if (this.#parts.length === first) return;
    const parts = this.#parts.slice(first);
    const header = this.#header;
    const encoded = createHash("sha1");
    for (const { bytes } of viewsOf(this.#source, from, to)) encoded.update(bytes);
    this.#bodies.push({
      header,
      kind: this.#kind,
      encodedBytes: to - from,
      encodedHash: encoded.digest(),
      bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
      hash: hashOfParts(parts.map(({ hash }) => hash)),
    });
  }

  finish(): MeasuredMessage {
    const { head, tail } = this.#builder.finish();
    return { size: this.#source.size, bodies: this.#bodies, head, tail, parts: this.#parts };
  }

  #headerAt(from: number, to: number): void {
    this.#headerFrom = from;
    this.#headerTo = to;
    this.#partHeader = undefined;
  }

  get #kind(): PartKind {
    return this.#header.isAttachment ? "attachment" : "text";
  }

  get #header(): PartHeader {
    const length = Math.min(this.#headerTo - this.#headerFrom, PART_HEADER_BYTES_MAX);
    this.#partHeader ??= readPartHeader(
      this.#source.view(this.#headerFrom, length).toString("latin1", 0, length),
    );
    return this.#partHeader;
  }
}

function hashOfParts(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 1) return hashes[0] as Buffer;
  const whole = createHash("sha256");
  for (const hash of hashes) whole.update(hash);
  return whole.digest();
}
