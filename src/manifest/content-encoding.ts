/** Content and PageTree values inside pages: docs/formats/manifest.md, section 1. */
import { type ByteReader, type ByteWriter, toHex } from "../base/bytes.ts";
import { assert } from "../base/errors.ts";
import { asObjectId, OBJECT_ID_BYTES, type ObjectId } from "../store/object.ts";
import type { Content, PageTree } from "./model.ts";

export const MAX_INLINE_BYTES = 512;
export const MAX_IDS_IN_ENTRY = 64;
export const MAX_TREE_HEIGHT = 8;

/** A copy: what is kept longer than a page must not hold on to the page. */
export function readId(reader: ByteReader): ObjectId {
  return asObjectId(reader.copy(OBJECT_ID_BYTES));
}

export function writeContent(writer: ByteWriter, content: Content): void {
  switch (content.form) {
    case "inline":
      assert(content.bytes.length <= MAX_INLINE_BYTES, "inline content has at most 512 bytes");
      writer.u8(0).bytes(content.bytes);
      return;
    case "objects":
      assert(
        content.ids.length >= 1 && content.ids.length <= MAX_IDS_IN_ENTRY,
        `an entry names 1 to 64 objects, not ${content.ids.length}`,
      );
      writer.u8(1).varint(content.size).varint(content.ids.length);
      for (const id of content.ids) writer.raw(id);
      return;
    case "list":
    case "pairs":
      writer
        .u8(content.form === "list" ? 2 : 3)
        .varint(content.size)
        .raw(content.list);
  }
}

export function readContentForm(reader: ByteReader): Content {
  const form = reader.u8();
  switch (form) {
    case 0:
      return { form: "inline", bytes: reader.copy(reader.varint(MAX_INLINE_BYTES)) };
    case 1: {
      const size = reader.varint();
      const count = reader.varint(MAX_IDS_IN_ENTRY);
      if (count === 0) throw reader.damaged("a content names no objects");
      const ids: ObjectId[] = [];
      for (let i = 0; i < count; i++) ids.push(readId(reader));
      return { form: "objects", size, ids };
    }
    case 2:
    case 3: {
      const size = reader.varint();
      return { form: form === 2 ? "list" : "pairs", size, list: readId(reader) };
    }
    default:
      throw reader.damaged(`a content has the unknown form ${form}`);
  }
}

export function weighContent(content: Content | undefined): number {
  if (content === undefined) return 0;
  if (content.form === "inline") return content.bytes.length;
  return content.form === "objects" ? content.ids.length * OBJECT_ID_BYTES : OBJECT_ID_BYTES;
}

export function writeTree(writer: ByteWriter, tree: PageTree): void {
  writer.varint(tree.entries);
  if (tree.page === undefined) {
    assert(tree.entries === 0 && tree.height === 0, "a tree without a page has no entries");
    return;
  }
  assert(tree.entries > 0, `a tree with a page has entries: ${toHex(tree.page)}`);
  assert(tree.height >= 0 && tree.height <= MAX_TREE_HEIGHT, "a tree has at most 8 inner levels");
  writer.varint(tree.height).raw(tree.page);
}

export function readTree(reader: ByteReader): PageTree {
  const entries = reader.varint();
  if (entries === 0) return { page: undefined, height: 0, entries: 0 };
  const height = reader.varint(MAX_TREE_HEIGHT);
  return { page: readId(reader), height, entries };
}
