/** The last 36 bytes of a pack. Format: docs/formats/pack.md. */
import { createHash } from "node:crypto";
import { ByteReader, ByteWriter, equalBytes } from "../base/bytes.ts";

export const FOOTER_BYTES = 36;
const MAGIC = Buffer.from("CYRVPEND", "latin1");
const CHECK_BYTES = 16;

export interface PackFooter {
  readonly directoryOffset: number;
  readonly directoryBytes: number;
}

export function encodePackFooter(header: Uint8Array, footer: PackFooter): Buffer {
  const fields = new ByteWriter(FOOTER_BYTES).u64(BigInt(footer.directoryOffset)).u32(footer.directoryBytes);
  return fields.raw(checksum(header, fields.toBytes())).raw(MAGIC).toBytes();
}

/**
 * @param bytes - the last FOOTER_BYTES of the file.
 * @param fileBytes - how long the file is: the footer must say the same.
 */
export function decodePackFooter(
  header: Uint8Array,
  bytes: Uint8Array,
  fileBytes: number,
  what: string,
): PackFooter {
  const reader = new ByteReader(bytes, `${what}: footer`);
  const fields = bytes.subarray(0, 12);
  const directoryOffset = Number(reader.u64());
  const directoryBytes = reader.u32();
  const check = reader.raw(CHECK_BYTES);
  if (!equalBytes(reader.raw(MAGIC.length), MAGIC)) throw reader.damaged("the pack is cut short, or is none");
  reader.end();
  if (!equalBytes(check, checksum(header, fields))) throw reader.damaged("the checksum does not fit");
  if (directoryOffset < header.length || directoryOffset + directoryBytes + FOOTER_BYTES !== fileBytes)
    throw reader.damaged("the file has another length than it says");
  return { directoryOffset, directoryBytes };
}

function checksum(header: Uint8Array, fields: Uint8Array): Buffer {
  return createHash("sha256").update(header).update(fields).digest().subarray(0, CHECK_BYTES);
}
