import { expect } from "vitest";
import { assembleMessage, assembleMessageSync } from "../../../src/chunker/assemble.ts";
import { type SplitMessage, splitMessage } from "../../../src/chunker/split.ts";
import { splitLargeMessage } from "../../../src/chunker/split-large.ts";
import type { SplitParameters } from "../../../src/chunker/split-parameters.ts";

export function assembled(split: SplitMessage): Uint8Array {
  return assembleMessageSync(split.head, split.tail, (position) => partOf(split, position));
}

export async function assembledInStretches(split: SplitMessage): Promise<Buffer> {
  const stretches: Uint8Array[] = [];
  for await (const bytes of assembleMessage(split.head, split.tail, async (i) => partOf(split, i)))
    stretches.push(bytes);
  return Buffer.concat(stretches);
}

/** The `read` of a message in memory, every time into other bytes, with the old ones made useless. */
export function readerOf(message: Uint8Array): (offset: number, length: number) => Uint8Array {
  let last = Buffer.alloc(0);
  return (offset, length) => {
    last.fill(0xee);
    last = Buffer.from(message.subarray(offset, offset + length));
    return last;
  };
}

/** As `splitMessage`, through `splitLargeMessage`. */
export function splitInWindows(message: Uint8Array, parameters?: SplitParameters): SplitMessage {
  const parts: { bytes: Uint8Array }[] = [];
  const emit = (bytes: Uint8Array) => parts.push({ bytes: Buffer.from(bytes) });
  const { head, tail } = splitLargeMessage(readerOf(message), message.length, emit, parameters);
  return { head, tail, parts };
}

/** Whole, in windows, in stretches: always the message; and both splits the same. */
export function expectRoundTrip(message: Uint8Array, parameters?: SplitParameters): SplitMessage {
  const split = splitMessage(message, parameters);
  if (Buffer.compare(assembled(split), message) !== 0)
    expect(Buffer.from(assembled(split))).toEqual(Buffer.from(message));
  const large = splitInWindows(message, parameters);
  expect(Buffer.compare(large.head, split.head)).toBe(0);
  expect(Buffer.compare(large.tail, split.tail)).toBe(0);
  expect(large.parts.length).toBe(split.parts.length);
  const unequal = large.parts.filter((part, index) => Buffer.compare(part.bytes, partOf(split, index)) !== 0);
  expect(unequal).toEqual([]);
  return split;
}

function partOf(split: SplitMessage, position: number): Uint8Array {
  const part = split.parts[position];
  if (part === undefined) throw new TypeError(`there is no part ${position}`);
  return part.bytes;
}
