/** The list at the beginning of a message's `head`. Format: docs/formats/message.md. */
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { encodedLength, LINE_CHARS_MAX, type Wrapping } from "./base64.ts";

export interface Piece {
  /** Of the source, before the transform. At least 1. */
  readonly sourceBytes: number;
  /** How many references it takes, in order; 0: the bytes are from `tail`. */
  readonly references: number;
  /** Undefined: the source as it is. */
  readonly wrapping: Wrapping | undefined;
}

export interface PieceList {
  /** Size of the message. */
  readonly totalBytes: number;
  readonly pieces: readonly Piece[];
  /** Where in `head` the header begins. */
  readonly headerOffset: number;
  /** How many references all pieces take. */
  readonly references: number;
}

const FROM_REFERENCES = 1;
const BASE64 = 2;
const LF_LINES = 4;

export function encodePieceList(totalBytes: number, pieces: readonly Piece[]): Buffer {
  const writer = new ByteWriter(16 + pieces.length * 8);
  writer.varint(totalBytes).varint(pieces.length);
  for (const { sourceBytes, references, wrapping } of pieces) {
    const tag =
      (references > 0 ? FROM_REFERENCES : 0) |
      (wrapping === undefined ? 0 : BASE64) |
      (wrapping?.lineEnd === "lf" ? LF_LINES : 0);
    writer.varint(tag).varint(sourceBytes);
    if (references > 0) writer.varint(references);
    if (wrapping !== undefined) writer.varint(wrapping.lineChars);
  }
  return writer.toBytes();
}

/**
 * @param tailBytes - the length of `tail`.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`, also when head, tail and pieces don't make `totalBytes` together:
 *   so a list that was read never assembles to more than it declares.
 */
export function parsePieceList(head: Uint8Array, tailBytes: number): PieceList {
  const reader = new ByteReader(head, "piece list");
  const totalBytes = reader.varint();
  const count = reader.varint(Math.floor(reader.remaining / 2));
  const pieces: Piece[] = [];
  let tailUsed = 0;
  let assembled = 0;
  let references = 0;
  for (let index = 0; index < count; index++) {
    const piece = readPiece(reader, totalBytes);
    if (piece.references === 0) tailUsed += piece.sourceBytes;
    references += piece.references;
    assembled += piece.wrapping ? encodedLength(piece.sourceBytes, piece.wrapping) : piece.sourceBytes;
    if (tailUsed > tailBytes) throw reader.damaged(`${tailUsed} bytes of a tail of ${tailBytes}`);
    if (assembled > totalBytes)
      throw reader.damaged(`pieces of ${assembled} bytes make a message of ${totalBytes}`);
    pieces.push(piece);
  }
  const sum = reader.remaining + assembled + (tailBytes - tailUsed);
  if (sum !== totalBytes) throw reader.damaged(`${sum} bytes make a message of ${totalBytes}`);
  return { totalBytes, pieces, headerOffset: reader.offset, references };
}

function readPiece(reader: ByteReader, totalBytes: number): Piece {
  const tag = reader.varint(FROM_REFERENCES | BASE64 | LF_LINES);
  if ((tag & LF_LINES) !== 0 && (tag & BASE64) === 0) throw reader.damaged(`unknown tag ${tag}`);
  const sourceBytes = reader.varint(totalBytes);
  if (sourceBytes === 0) throw reader.damaged("an empty piece");
  let references = 0;
  if ((tag & FROM_REFERENCES) !== 0) {
    references = reader.varint(sourceBytes);
    if (references === 0) throw reader.damaged("a piece of no references");
  }
  if ((tag & BASE64) === 0) return { sourceBytes, references, wrapping: undefined };
  const lineChars = reader.varint(LINE_CHARS_MAX);
  return {
    sourceBytes,
    references,
    wrapping: { lineChars, lineEnd: (tag & LF_LINES) !== 0 ? "lf" : "crlf" },
  };
}
