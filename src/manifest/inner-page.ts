/** The pages above the leaves: what each page below begins with, which it is, and how much is under it. */
import type { ByteString } from "../base/byte-string.ts";
import { type ByteReader, ByteWriter } from "../base/bytes.ts";
import type { ObjectId } from "../store/object.ts";
import { readId } from "./content-encoding.ts";
import { FrontChain } from "./numbers.ts";
import { assertAscending, beginPage, INNER, openPage, type PageCodec, type PageKey } from "./page-codec.ts";
import { readCount } from "./page-tables.ts";

const U32 = 0xffff_ffff;
/** Key 1 or 2, id 32, entries 1. */
const LEAST_BYTES = 34;

export interface ChildPage<K extends PageKey> {
  readonly firstKey: K;
  readonly page: ObjectId;
  /** Entries in all leaves under it. */
  readonly entries: number;
}

type Keys = Pick<PageCodec<never, never>, "kind" | "keys" | "what">;

/** @param level - 1 for pages right above the leaves. */
export function encodeInnerPage<K extends PageKey>(
  codec: Keys,
  level: number,
  children: readonly ChildPage<K>[],
): Uint8Array {
  assertAscending(children, (child) => child.firstKey);
  const writer = beginPage(codec.kind | INNER, new ByteWriter(16 + children.length * 64));
  writer.u8(level).varint(children.length);
  const front = new FrontChain();
  let previousUid = -1;
  for (const child of children) {
    if (codec.keys === "uid") {
      const uid = child.firstKey as number;
      writer.varint(uid - previousUid - 1);
      previousUid = uid;
    } else {
      front.write(writer, child.firstKey as ByteString);
    }
    writer.raw(child.page).varint(child.entries);
  }
  return writer.toBytes();
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`, also when the page is of another level. */
export function decodeInnerPage<K extends PageKey>(
  codec: Keys,
  level: number,
  bytes: Uint8Array,
): ChildPage<K>[] {
  const reader = openPage(bytes, codec.kind | INNER, `${codec.what} (inner)`);
  const found = reader.u8();
  if (found !== level) throw reader.damaged(`it is of level ${found}, not ${level}`);
  const count = readCount(reader, LEAST_BYTES);
  if (count === 0) throw reader.damaged("it has no entries");
  const readKey = codec.keys === "uid" ? uidKeys(reader) : stringKeys(reader);
  const children = new Array<ChildPage<K>>(count);
  let previous: PageKey | undefined;
  for (let i = 0; i < count; i++) {
    const firstKey = readKey();
    if (previous !== undefined && firstKey <= previous) throw reader.damaged("its keys do not ascend");
    previous = firstKey;
    const page = readId(reader);
    const entries = reader.varint();
    if (entries === 0) throw reader.damaged("a page below is said to be empty");
    children[i] = { firstKey: firstKey as K, page, entries };
  }
  reader.end();
  return children;
}

function uidKeys(reader: ByteReader): () => number {
  let previous = -1;
  return () => {
    previous += reader.varint(U32 - previous - 1) + 1;
    return previous;
  };
}

function stringKeys(reader: ByteReader): () => ByteString {
  const front = new FrontChain();
  return () => front.read(reader);
}
