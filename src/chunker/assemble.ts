/** Puts a stored message together again. Format: docs/formats/message.md. */
import { CyrvaultError } from "../base/errors.ts";
import { WrappedEncoder } from "./base64.ts";
import { asBuffer } from "./byte-source.ts";
import { type Piece, parsePieceList } from "./piece-list.ts";

/** In lines of one character, base64 makes four times as many bytes of it. */
const STRETCH_BYTES = 1024 * 1024 - 3;
/** What is encoded at a time where the result is used at once: that much stays in the processor's cache. */
const SCRATCH_STRETCH_BYTES = 48 * 1024;
const SCRATCH_KEPT_BYTES_MAX = 256 * 1024;
const EMPTY = Buffer.alloc(0);

/**
 * Yields the message in order, in stretches of at most 4 MiB; they may be views of `head`, `tail` and what
 * `load` gave. Every position is loaded once, in order, when its turn comes.
 *
 * @param load - the plaintext of the reference at a position, verified.
 * @param lifetime - of a stretch; `until the next` one is asked for: room for what is encoded is then used again, and what
 *   `load` gave is needed no more when the next position is loaded.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED` for a list that fits neither itself nor what it refers to.
 */
export async function* assembleMessage(
  head: Uint8Array,
  tail: Uint8Array,
  load: (position: number) => Promise<Uint8Array>,
  lifetime: "lasting" | "until the next" = "lasting",
): AsyncGenerator<Uint8Array, void, void> {
  const steps = assemblySteps(head, tail, lifetime === "lasting" ? undefined : new Scratch());
  let step = steps.next();
  while (!step.done) {
    if (typeof step.value === "number") {
      step = steps.next(await load(step.value));
    } else {
      yield step.value;
      step = steps.next();
    }
  }
}

/** The same at once, for messages that fit into memory. May be a view of `head` or `tail`. */
export function assembleMessageSync(
  head: Uint8Array,
  tail: Uint8Array,
  load: (position: number) => Uint8Array,
): Uint8Array {
  const stretches: Uint8Array[] = [];
  takeSteps(assemblySteps(head, tail), load, (stretch) => stretches.push(stretch));
  return stretches.length === 1 ? (stretches[0] as Uint8Array) : Buffer.concat(stretches);
}

/**
 * The same, stretch by stretch: `take` is given each in order, good until it returns.
 * @throws as `assembleMessageSync`.
 */
export function assembleStretches(
  head: Uint8Array,
  tail: Uint8Array,
  load: (position: number) => Uint8Array,
  take: (stretch: Uint8Array) => void,
): void {
  Scratch.with((scratch) => takeSteps(assemblySteps(head, tail, scratch), load, take));
}

function takeSteps(
  steps: Steps,
  load: (position: number) => Uint8Array,
  take: (stretch: Uint8Array) => void,
): void {
  let step = steps.next();
  while (!step.done) {
    if (typeof step.value === "number") {
      step = steps.next(load(step.value));
    } else {
      take(step.value);
      step = steps.next();
    }
  }
}

/** Whether these assemble to exactly `expected`. Holds no second copy of it. @throws as `assembleMessageSync`. */
export function assemblesTo(
  head: Uint8Array,
  tail: Uint8Array,
  load: (position: number) => Uint8Array,
  expected: Uint8Array,
): boolean {
  const whole = asBuffer(expected);
  return Scratch.with((scratch) => {
    const steps = assemblySteps(head, tail, scratch);
    let offset = 0;
    let step = steps.next();
    while (!step.done) {
      if (typeof step.value === "number") {
        step = steps.next(load(step.value));
        continue;
      }
      const end = offset + step.value.length;
      if (end > whole.length || whole.compare(step.value, 0, step.value.length, offset, end) !== 0)
        return false;
      offset = end;
      step = steps.next();
    }
    return offset === whole.length;
  });
}

type Steps = Generator<Uint8Array | number, void, Uint8Array | undefined>;

/**
 * Yields stretches of the message, and the positions of references, whose plaintext it wants in return.
 * @param scratch - a stretch is good until the next one is asked for; without it, for as long as one likes.
 */
function* assemblySteps(head: Uint8Array, tail: Uint8Array, scratch?: Scratch): Steps {
  const { pieces, headerOffset } = parsePieceList(head, tail.length);
  yield* inStretches(asBuffer(head).subarray(headerOffset));
  const tailBuffer = asBuffer(tail);
  let tailOffset = 0;
  let position = 0;
  for (const piece of pieces) {
    const encoder = piece.wrapping && new WrappedEncoder(piece.wrapping);
    if (piece.references === 0) {
      yield* transformed(tailBuffer.subarray(tailOffset, tailOffset + piece.sourceBytes), encoder, scratch);
      tailOffset += piece.sourceBytes;
    } else {
      let missing = piece.sourceBytes;
      for (let index = 0; index < piece.references; index++, position++) {
        const bytes = asBuffer((yield position) ?? new Uint8Array());
        missing -= bytes.length;
        const enough = index === piece.references - 1;
        if (bytes.length === 0 || missing < 0 || (enough && missing > 0)) throw badReference(piece, position);
        yield* transformed(bytes, encoder, scratch);
      }
    }
    if (encoder !== undefined) {
      const rest = encoder.end();
      if (rest.length > 0) yield rest;
    }
  }
  yield* inStretches(tailBuffer.subarray(tailOffset));
}

function* transformed(
  bytes: Buffer,
  encoder: WrappedEncoder | undefined,
  scratch: Scratch | undefined,
): Generator<Uint8Array, void, unknown> {
  if (encoder === undefined) return yield* inStretches(bytes);
  for (const stretch of inStretches(bytes, scratch === undefined ? STRETCH_BYTES : SCRATCH_STRETCH_BYTES)) {
    const made = scratch === undefined ? encoder.push(stretch) : scratch.push(encoder, stretch);
    if (made.length > 0) yield made;
  }
}

function* inStretches(bytes: Buffer, stretchBytes = STRETCH_BYTES): Generator<Buffer, void, unknown> {
  for (let offset = 0; offset < bytes.length; offset += stretchBytes)
    yield bytes.subarray(offset, offset + stretchBytes);
}

/** Room for what is encoded, used again for each stretch: taking it anew costs as much as filling it. */
class Scratch {
  static #kept: Buffer | undefined;
  #bytes: Buffer = EMPTY;

  static with<T>(use: (scratch: Scratch) => T): T {
    const scratch = new Scratch();
    scratch.#bytes = Scratch.#kept ?? EMPTY;
    Scratch.#kept = undefined;
    try {
      return use(scratch);
    } finally {
      if (scratch.#bytes.length <= SCRATCH_KEPT_BYTES_MAX) Scratch.#kept = scratch.#bytes;
    }
  }

  push(encoder: WrappedEncoder, stretch: Buffer): Buffer {
    const needed = encoder.capacity(stretch.length);
    if (this.#bytes.length < needed) this.#bytes = Buffer.allocUnsafeSlow(needed);
    return this.#bytes.subarray(0, encoder.pushInto(stretch, this.#bytes));
  }
}

function badReference(piece: Piece, position: number): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_DAMAGED",
    "message: a reference does not have the length that its piece says",
    {
      context: { position, pieceBytes: piece.sourceBytes },
    },
  );
}
