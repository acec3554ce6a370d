/** Small files: kept inside their entry, or as `meta` objects. */
import { equalBytes } from "../base/bytes.ts";
import { assert, CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { asObjectId, OBJECT_ID_BYTES, type ObjectId } from "../store/object.ts";
import { MAX_IDS_IN_ENTRY, MAX_INLINE_BYTES } from "./content-encoding.ts";
import { type ContentPair, PairJoiner, VERBATIM } from "./content-pair.ts";
import type { Content } from "./model.ts";
import type { PageLane, PageSink, PageSource } from "./pages-io.ts";

/**
 * Stores a file that has been cut into chunks: each becomes one object, empty ones nothing. The same chunks make
 * the same Content. Up to 512 bytes in all stay inline. Holds one chunk, and 32 bytes for each stored.
 * The chunks are handed over: the caller doesn't touch them again.
 *
 * @param chunks - or pairs, then nothing else. A pair that does not make its bytes again is stored as they are.
 * @param lane - of all its objects.
 */
export async function storeContent(
  chunks: Iterable<Uint8Array | ContentPair> | AsyncIterable<Uint8Array>,
  sink: PageSink,
  lane?: PageLane,
): Promise<Content> {
  const put = (bytes: Uint8Array) => sink.put("meta", bytes, lane);
  const ids: ObjectId[] = [];
  const joiner = new PairJoiner();
  let held: Uint8Array[] = [];
  let size = 0;
  let isPaired = false;
  for await (const chunk of chunks) {
    if ("lasting" in chunk) {
      assert(isPaired || size === 0, "a file comes in pairs or in chunks");
      isPaired = true;
      size += chunk.bytes.length;
      const { lasting, changing } = provenPair(chunk, joiner);
      ids.push(await put(lasting), await put(changing));
      continue;
    }
    assert(!isPaired, "a file comes in pairs or in chunks");
    if (chunk.length === 0) continue;
    size += chunk.length;
    held.push(chunk);
    if (size <= MAX_INLINE_BYTES) continue;
    for (const bytes of held) ids.push(await put(bytes));
    held = [];
  }
  if (isPaired) return { form: "pairs", size, list: await put(concatenate(ids)) };
  if (size <= MAX_INLINE_BYTES) return { form: "inline", bytes: concatenate(held) };
  if (ids.length <= MAX_IDS_IN_ENTRY) return { form: "objects", size, ids };
  return { form: "list", size, list: await put(concatenate(ids)) };
}

export function contentSize(content: Content): number {
  return content.form === "inline" ? content.bytes.length : content.size;
}

/**
 * The bytes, in order, an object at a time.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED` when they are not as many as they should be: at the end, or as
 *   soon as there are too many. Whoever writes them somewhere waits for the end before calling it done.
 */
export async function* readContent(content: Content, source: PageSource): AsyncGenerator<Uint8Array> {
  if (content.form === "inline") {
    if (content.bytes.length > 0) yield content.bytes;
    return;
  }
  let rest = content.size;
  const joiner = content.form === "pairs" ? new PairJoiner() : undefined;
  let lasting: Uint8Array | undefined;
  for (const id of await pieceIds(content, source)) {
    const piece = await source.get("meta", id);
    if (joiner !== undefined && lasting === undefined) {
      lasting = piece;
      continue;
    }
    const bytes = joiner === undefined || lasting === undefined ? piece : joiner.join(lasting, piece);
    lasting = undefined;
    rest -= bytes.length;
    if (rest < 0) break;
    yield bytes;
  }
  if (rest !== 0) {
    throw new CyrvaultError("REPOSITORY_DAMAGED", "a stored file has another size than its entry says", {
      context: { size: content.size, difference: -rest },
    });
  }
}

/** Every object the content needs: the list itself too, where there is one. */
export async function* contentIds(content: Content, source: PageSource): AsyncGenerator<ObjectId> {
  if (content.form === "inline") return;
  if (content.form !== "objects") yield content.list;
  yield* await pieceIds(content, source);
}

/** True: the same bytes. False: other bytes, or the same ones cut otherwise. */
export function contentEquals(a: Content, b: Content): boolean {
  if (a.form === "inline") return b.form === "inline" && equalBytes(a.bytes, b.bytes);
  if (a.form !== "objects") return b.form === a.form && a.size === b.size && equalBytes(a.list, b.list);
  return (
    b.form === "objects" &&
    a.size === b.size &&
    a.ids.length === b.ids.length &&
    a.ids.every((id, i) => equalBytes(id, b.ids[i] as ObjectId))
  );
}

async function pieceIds(
  content: Exclude<Content, { form: "inline" }>,
  source: PageSource,
): Promise<readonly ObjectId[]> {
  if (content.form === "objects") return content.ids;
  const list = await source.get("meta", content.list);
  const unit = content.form === "pairs" ? 2 * OBJECT_ID_BYTES : OBJECT_ID_BYTES;
  if (list.length % unit !== 0) {
    throw new CyrvaultError("REPOSITORY_DAMAGED", "a list of the pieces of a stored file is malformed", {
      context: { bytes: list.length },
    });
  }
  const ids: ObjectId[] = [];
  for (let at = 0; at < list.length; at += OBJECT_ID_BYTES)
    ids.push(asObjectId(list.subarray(at, at + OBJECT_ID_BYTES)));
  return ids;
}

/** @param joiner - is afterwards as a reader's is who has joined what is stored. */
function provenPair(pair: ContentPair, joiner: PairJoiner): Omit<ContentPair, "bytes"> {
  if (makesItsBytes(pair, joiner)) return pair;
  const verbatim = { lasting: pair.bytes.slice(), changing: VERBATIM };
  joiner.join(verbatim.lasting, verbatim.changing);
  return verbatim;
}

function makesItsBytes({ lasting, changing, bytes }: ContentPair, joiner: PairJoiner): boolean {
  try {
    return equalBytes(joiner.join(lasting, changing), bytes);
  } catch (error) {
    if (isCyrvaultError(error, "REPOSITORY_DAMAGED")) return false;
    throw error;
  }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
