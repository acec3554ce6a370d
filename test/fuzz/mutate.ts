/** Turns sound inputs into unsound ones. The same generator in the same state makes the same input. */

/** mulberry32: small, and the same on every machine. */
export class FuzzRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to 2^32-1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(count: number): number {
    return count <= 0 ? 0 : this.next() % count;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

/** One number for the inputs of a target: each has a generator of its own, so that any of them can be made again. */
export function inputSeed(seed: number, target: string, index: number): number {
  let hash = seed ^ 0x9e37_79b9;
  for (const char of `${target}/${index}`) hash = Math.imul(hash ^ char.charCodeAt(0), 0x0100_0193);
  return hash >>> 0;
}

const INTERESTING = [0, 1, 2, 3, 4, 0x10, 0x20, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff];
const WORDS = [0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x0fff_ffff, 0x00ff_ffff, ...INTERESTING];
/** The largest varints of some lengths, and forms that none may have. */
const VARINTS = [
  "ff7f",
  "ffff7f",
  "ffffffff0f",
  "ffffffffffffff0f",
  "ffffffffffffffff7f",
  "8000",
  "ff".repeat(11),
];
const MAGICS = [
  "CYRVPACK",
  "CYRVFILE",
  "CYRVPEND",
  "CYRVSEGM",
  "CYRVSEGE",
  "\xa1\x02\x8b\x0dtwoskip file\0\0\0\0",
  "\xa1\x02\x8b\x0dskiplist file\0\0\0",
  "\xa1\x02\x8b\x0dCyrus mailbox header\n",
  "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
  "Content-Transfer-Encoding: base64\r\n\r\n",
  "\r\n--b--\r\n",
  "{4294967295+}\r\n",
  "%(A ",
  "((((((((((((((((",
  "[[[[[[[[[[[[[[[[",
  '{"a":{"a":{"a":',
  '"__proto__":{"x":1},',
  "null",
  "1e400",
  "-1",
  "9007199254740993",
  "../../",
  "\0",
  "\r",
  "\n",
  "@include: ",
  "\xff\xfe",
  "NIL",
];
const BYTES_MAX = 1 << 20;

/** @param others - to splice from. */
export function mutate(seed: Uint8Array, others: readonly Uint8Array[], random: FuzzRandom): Buffer {
  let bytes: Buffer = Buffer.from(seed);
  // Most inputs stay close to what is sound: the further away, the sooner the first check refuses.
  for (let left = 1 + random.below(random.pick([1, 2, 4, 12])); left > 0; left--) {
    bytes = step(bytes, others, random);
    if (bytes.length > BYTES_MAX) bytes = bytes.subarray(0, BYTES_MAX);
  }
  return bytes;
}

function step(bytes: Buffer, others: readonly Uint8Array[], random: FuzzRandom): Buffer {
  const at = random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + random.pick([1, 2, 4, 8, 16, 64, 1024]));
  switch (random.below(12)) {
    case 0:
      return changed(bytes, at, (byte) => byte ^ (1 << random.below(8)));
    case 1:
      return changed(bytes, at, () => random.next() & 255);
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
    case 4:
      return inserted(bytes, at, Buffer.from(bytes.subarray(at, end)));
    case 5:
      return inserted(bytes, at, Buffer.from(random.pick(MAGICS), "latin1"));
    case 6:
      return overwritten(bytes, at, Buffer.from(random.pick(MAGICS), "latin1"));
    case 7:
      return overwritten(bytes, at, word(random));
    case 8:
      return overwritten(bytes, at, Buffer.from(random.pick(VARINTS), "hex"));
    case 9:
      return changed(bytes, at, (byte) => byte + random.pick([1, 255, 2, 254]));
    case 10: {
      const other = random.pick(others);
      const from = random.below(other.length + 1);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(from)]);
    }
    default: {
      const other = random.pick(others);
      const from = random.below(other.length + 1);
      const length = random.pick([1, 4, 16, 64, 4096]);
      const stretch = Buffer.from(other.subarray(from, from + length));
      return random.below(2) === 0 ? inserted(bytes, at, stretch) : overwritten(bytes, at, stretch);
    }
  }
}

function word(random: FuzzRandom): Buffer {
  const value = random.pick(WORDS);
  const bytes = Buffer.alloc(random.pick([1, 2, 4, 8]));
  const width = Math.min(4, bytes.length);
  const fitting = value % 2 ** (8 * width);
  if (random.below(2) === 0) bytes.writeUIntBE(fitting, bytes.length - width, width);
  else bytes.writeUIntLE(fitting, 0, width);
  return random.below(8) === 0 ? Buffer.alloc(bytes.length, 0xff) : bytes;
}

function changed(bytes: Buffer, at: number, change: (byte: number) => number): Buffer {
  if (at >= bytes.length) return bytes;
  const copy = Buffer.from(bytes);
  copy[at] = change(copy[at] as number);
  return copy;
}

function inserted(bytes: Buffer, at: number, stretch: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), stretch, bytes.subarray(at)]);
}

function overwritten(bytes: Buffer, at: number, stretch: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), stretch, bytes.subarray(at + stretch.length)]);
}
