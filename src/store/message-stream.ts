/** A message put together from its parts and compared with its id, in little memory however large it is. */
import { CyrvaultError } from "../base/errors.ts";
import { giveBack } from "../base/give-back.ts";
import type { AssembleMessage, ObjectId } from "./object.ts";
import type { ObjectHasher } from "./object-id.ts";

/** A message up to this is verified before its first byte is handed out. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;

export interface StoredMessage {
  readonly id: ObjectId;
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /**
   * The verified plaintext of the reference at a position.
   * @param onOwn - given where the block need not be kept. Called when nobody else has it: it is the caller's.
   */
  loadPart(position: number, onOwn?: (block: Buffer) => void): Promise<Uint8Array>;
}

export interface BegunMessage {
  /** In order; they last. */
  readonly held: readonly Uint8Array[];
  /** What comes after; each stretch is good until the next one is asked for. Undefined: nothing, all is verified. */
  readonly rest: AsyncGenerator<Uint8Array, void, undefined> | undefined;
}

/**
 * Reads on until all is verified or too much is held; in the latter case `rest` gives what is left, and its last stretch
 * only if the whole is what its id says.
 * @throws {CyrvaultError} what `loadPart` throws; `REPOSITORY_DAMAGED`: the bytes are not those it is named for.
 */
export async function beginMessage(
  message: StoredMessage,
  assemble: AssembleMessage,
  hasher: ObjectHasher,
): Promise<BegunMessage> {
  const held: Uint8Array[] = [];
  let bytes = 0;
  /** The block of the part under way, if it is ours alone. */
  let own: Buffer | undefined;
  const dropOwn = (): void => {
    if (own !== undefined) giveBack(own);
    own = undefined;
  };
  const load = async (position: number): Promise<Uint8Array> => {
    dropOwn();
    // The first parts of a message may be those of the next one, too.
    if (bytes <= HELD_BYTES_MAX) return await message.loadPart(position);
    return await message.loadPart(position, (block) => {
      own = block;
    });
  };
  const hash = hasher.stream("message");
  const stretches = assemble(message.head, message.tail, load, "until the next")[Symbol.asyncIterator]();
  const next = async (): Promise<Uint8Array | undefined> => {
    const { done, value } = await stretches.next();
    if (done === true) return undefined;
    hash.update(value);
    bytes += value.length;
    return value;
  };
  const requireSound = (): void => {
    if (Buffer.compare(hash.digest(), message.id) !== 0)
      throw new CyrvaultError(
        "REPOSITORY_DAMAGED",
        `message object ${Buffer.from(message.id).toString("hex")}: its bytes are not those it is named for`,
      );
  };
  async function* restAfter(first: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
    const lasting = [new KeptStretch(), new KeptStretch()] as const;
    let last = first;
    let turn: 0 | 1 = 0;
    try {
      for (let stretch = await next(); stretch !== undefined; stretch = await next()) {
        const kept = lasting[turn].keep(stretch);
        turn = turn === 0 ? 1 : 0;
        yield last;
        last = kept;
      }
      requireSound();
      yield last;
    } finally {
      dropOwn();
    }
  }
  for (let stretch = await next(); stretch !== undefined; stretch = await next()) {
    const kept = Buffer.from(stretch);
    if (bytes > HELD_BYTES_MAX) return { held, rest: restAfter(kept) };
    held.push(kept);
  }
  requireSound();
  return { held, rest: undefined };
}

/** Room for one stretch, used again for a later one. */
class KeptStretch {
  #bytes: Buffer = Buffer.alloc(0);

  keep(stretch: Uint8Array): Uint8Array {
    if (this.#bytes.length < stretch.length) this.#bytes = Buffer.allocUnsafeSlow(stretch.length);
    this.#bytes.set(stretch);
    return this.#bytes.subarray(0, stretch.length);
  }
}
