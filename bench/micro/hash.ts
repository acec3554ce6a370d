/** SHA-256 and SHA-1, native and @noble/hashes: `npx tsx bench/micro/hash.ts [--json FILE]`. MB per second of processor time. */
import { createHash } from "node:crypto";
import { sha1 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { compare, noise } from "./compare.ts";

await compare(
  [4096, 20_000, 1_000_000].flatMap((bytes) => {
    const input = noise(bytes);
    const of = (name: string, work: () => void) => ({ name: `${name}, ${bytes} bytes`, bytes, work });
    return [
      of("SHA-256 node:crypto", () => void createHash("sha256").update(input).digest()),
      of("SHA-256 @noble", () => void sha256(input)),
      of("SHA-1 node:crypto", () => void createHash("sha1").update(input).digest()),
      of("SHA-1 @noble", () => void sha1(input)),
    ];
  }),
);
