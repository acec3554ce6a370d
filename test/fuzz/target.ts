/** What the fuzz tests know of one parser. */
import { type CyrvaultError, type ErrorCode, isCyrvaultError } from "../../src/base/errors.ts";

export interface FuzzTarget {
  readonly name: string;
  /** Sound inputs, and some that nearly are. */
  seeds(): Promise<readonly Uint8Array[]> | readonly Uint8Array[];
  /** Reads the input to its end; throws what the parser throws, or an error of its own when an answer is wrong. */
  run(input: Buffer): unknown;
  /** Those that the parser may throw. */
  readonly codes: readonly ErrorCode[];
}

/** Buffers that one input may make the parser take, beside some times the input's own length. */
const MEMORY_MAX = 64 * 1024 * 1024;
const MEMORY_TIMES_INPUT = 16;

/** @throws {Error} when the parser neither answers nor refuses as it should. */
export async function runInput(target: FuzzTarget, input: Uint8Array): Promise<"answered" | "refused"> {
  const before = process.memoryUsage().arrayBuffers;
  const outcome = await answersOrRefuses(target, Buffer.from(input));
  const taken = process.memoryUsage().arrayBuffers - before;
  const allowed = MEMORY_MAX + MEMORY_TIMES_INPUT * input.length;
  if (taken > allowed)
    throw new Error(`${target.name}: ${taken} bytes of buffers for ${input.length} of input`);
  return outcome;
}

async function answersOrRefuses(target: FuzzTarget, input: Buffer): Promise<"answered" | "refused"> {
  try {
    await target.run(input);
    return "answered";
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    if (!target.codes.includes(error.code))
      throw new Error(`${target.name}: unexpected code ${error.code}`, { cause: error });
    return "refused";
  }
}

/** Several readings of one input, of which each may refuse by itself. @throws {CyrvaultError} when all of them do. */
export async function eachByItself(...readings: readonly (() => unknown)[]): Promise<void> {
  let refused: CyrvaultError | undefined;
  let answered = 0;
  for (const read of readings) {
    try {
      await read();
      answered++;
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      refused ??= error;
    }
  }
  if (answered === 0 && refused !== undefined) throw refused;
}

/** A parser must not give what its input does not have. */
export function requireThat(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}
