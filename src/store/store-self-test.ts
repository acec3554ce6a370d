/**
 * Known answers for everything that the store entrusts to native code, checked before a repository is touched: a
 * broken build, a wrong OpenSSL provider or bad memory shows here and not in a backup. A few milliseconds.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { inflateSync } from "fflate";
import { equalBytes } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import { agreementPublicKey } from "./agreement.ts";
import { CODEC, decompress, encodeWith } from "./codec.ts";
import { ObjectHasher } from "./object-id.ts";
import { openBytes, sealBytes } from "./seal.ts";
import { type KeyedSealContext, UNENCRYPTED } from "./seal-context.ts";

const hex = (text: string): Buffer => Buffer.from(text, "hex");

/** What is tested, so that a test can put something broken in its place. */
export interface StoreFunctions {
  readonly ObjectHasher: typeof ObjectHasher;
  readonly sealBytes: typeof sealBytes;
  readonly openBytes: typeof openBytes;
  readonly agreementPublicKey: typeof agreementPublicKey;
  readonly encodeWith: typeof encodeWith;
  readonly decompress: typeof decompress;
}

const NATIVE: StoreFunctions = {
  ObjectHasher,
  sealBytes,
  openBytes,
  agreementPublicKey,
  encodeWith,
  decompress,
};

let hasPassed = false;

/** Once in a process: it takes some 20 ms. @throws {CyrvaultError} as `storeSelfTest`. */
export function storeSelfTestOnce(): void {
  if (!hasPassed) storeSelfTest();
  hasPassed = true;
}

/** @throws {CyrvaultError} `IO`, naming what gives wrong answers. */
export function storeSelfTest(functions: StoreFunctions = NATIVE): void {
  run("SHA-256", () => testHash(functions));
  run("AES-256-GCM", () => testSeal(functions));
  run("X25519", () => testAgreement(functions));
  run("brotli", () => testBrotli(functions));
  run("deflate", () => testDeflate(functions));
}

/** RFC 7748, section 6.1: Bob's private key, and his public one. */
function testAgreement(functions: StoreFunctions): boolean {
  const privateKey = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  const publicKey = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  return equalBytes(functions.agreementPublicKey(privateKey), publicKey);
}

function testHash(functions: StoreFunctions): boolean {
  const abc = Buffer.from("abc");
  const keyed: KeyedSealContext = {
    encrypted: true,
    idKey: new Uint8Array(32).fill(1),
    indexKey: new Uint8Array(32),
    epochs: [],
    writerId: new Uint8Array(16),
  };
  const plainAnswer = hex("1e18834c426d00e57788444cb3ccd62c771b420c095bb0c4e040a8c122c4570d");
  const keyedAnswer = hex("3f21afbed5bbbeaa4adca669fca3cc17df0c22550c463744d776672eed05b6a7");
  const long = sampleBytes(200);
  const longWithDomain = Buffer.concat([Buffer.of(4), long]);
  return (
    equalBytes(new functions.ObjectHasher(UNENCRYPTED).id("data", abc), plainAnswer) &&
    equalBytes(new functions.ObjectHasher(keyed).id("data", abc), keyedAnswer) &&
    equalBytes(new functions.ObjectHasher(UNENCRYPTED).id("manifest", long), sha256(longWithDomain)) &&
    equalBytes(
      new functions.ObjectHasher(keyed).id("manifest", long),
      hmac(sha256, keyed.idKey, longWithDomain),
    )
  );
}

/** Test case 14 of the GCM specification (McGrew and Viega 2004): key, nonce and plaintext all zero. */
function testSeal(functions: StoreFunctions): boolean {
  const key = new Uint8Array(32);
  const plain = new Uint8Array(16);
  const answer = hex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
  const none = new Uint8Array(0);
  if (!equalBytes(functions.sealBytes(key, 0, none, plain), answer)) return false;
  if (!equalBytes(functions.openBytes(key, 0, none, answer, "self-test"), plain)) return false;
  for (const flipped of [0, 15, 16, 31]) {
    const bad = Buffer.from(answer);
    bad[flipped] = (bad[flipped] as number) ^ 1;
    if (opens(bad)) return false;
  }
  return true;

  function opens(sealed: Uint8Array): boolean {
    try {
      functions.openBytes(key, 0, none, sealed, "self-test");
      return true;
    } catch {
      return false;
    }
  }
}

function testBrotli(functions: StoreFunctions): boolean {
  const text = Buffer.from("cyrvault ".repeat(8));
  const known = hex("1b4700f8c55396aa5c4d958c6f8f7f8281a9cf712e00");
  const sample = sampleBytes(4_000);
  return (
    equalBytes(functions.decompress(CODEC.brotli, known, text.length), text) &&
    [1, 4, 9].every((quality) => {
      const stored = functions.encodeWith(CODEC.brotli, sample, quality);
      return equalBytes(functions.decompress(CODEC.brotli, stored, sample.length), sample);
    })
  );
}

function testDeflate(functions: StoreFunctions): boolean {
  const text = Buffer.from("cyrvault ".repeat(8));
  const known = hex("4bae2c2a4b2ccd295148a68c0100");
  const sample = sampleBytes(20_000);
  const stored = functions.encodeWith(CODEC.deflate, sample, 6);
  return (
    equalBytes(functions.decompress(CODEC.deflate, known, text.length), text) &&
    equalBytes(functions.decompress(CODEC.deflate, stored, sample.length), sample) &&
    equalBytes(inflateSync(stored), sample)
  );
}

/** Half repetition, half noise; always the same. */
function sampleBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = i & 512 ? state >>> 24 : i % 61;
  }
  return bytes;
}

function run(what: string, isRight: () => boolean): void {
  let cause: unknown;
  try {
    if (isRight()) return;
  } catch (error) {
    cause = error;
  }
  throw new CyrvaultError("IO", `self-test: ${what} gives wrong answers on this machine`, {
    hint: "nothing was touched; try another build of Node.js, then test the machine's memory",
    cause,
  });
}
