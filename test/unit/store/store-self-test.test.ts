import { describe, expect, test } from "vitest";
import { agreementPublicKey } from "../../../src/store/agreement.ts";
import { decompress, encodeWith } from "../../../src/store/codec.ts";
import type { ObjectKind } from "../../../src/store/object.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { openBytes, sealBytes } from "../../../src/store/seal.ts";
import { type StoreFunctions, storeSelfTest } from "../../../src/store/store-self-test.ts";

const SOUND: StoreFunctions = {
  ObjectHasher,
  sealBytes,
  openBytes,
  agreementPublicKey,
  encodeWith,
  decompress,
};

class DomainlessHasher extends ObjectHasher {
  override id(_kind: ObjectKind, plaintext: Uint8Array) {
    return super.id("message", plaintext);
  }
}

describe("storeSelfTest()", () => {
  test("passes here", () => {
    expect(() => storeSelfTest()).not.toThrow();
  });

  test.each<[string, RegExp, Partial<StoreFunctions>]>([
    ["a hash of something else", /SHA-256/, { ObjectHasher: DomainlessHasher }],
    ["a seal that is no GCM", /AES-256-GCM/, { sealBytes: (_, ...rest) => sealBytes(undefined, ...rest) }],
    [
      "a seal that opens whatever it is given",
      /AES-256-GCM/,
      { openBytes: (_key, _nonce, _associated, sealed) => Buffer.alloc(sealed.length - 16) },
    ],
    ["a public key that is the private one", /X25519/, { agreementPublicKey: (key) => Buffer.from(key) }],
    [
      "a compressor that loses a byte",
      /brotli/,
      { encodeWith: (codec, raw, level) => encodeWith(codec, raw.subarray(1), level) },
    ],
    [
      "deflate with a zlib header",
      /deflate/,
      {
        encodeWith: (codec, raw, level) =>
          codec === 1
            ? Buffer.concat([Buffer.of(0x78, 0x9c), encodeWith(codec, raw, level)])
            : encodeWith(codec, raw, level),
      },
    ],
  ])("finds %s", (_, what, broken) => {
    expect(() => storeSelfTest({ ...SOUND, ...broken })).toThrow(what);
  });
});
