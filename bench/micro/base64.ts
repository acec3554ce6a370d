/**
 * Base64 of attachments, lines of 76: ours, which keeps the lines, and Buffer's, which cannot make them again:
 * `npx tsx bench/micro/base64.ts [--json FILE]`. MB of encoded text per second of processor time.
 */
import { WrappedDecoder, WrappedEncoder, type Wrapping } from "../../src/chunker/base64.ts";
import { compare, noise } from "./compare.ts";

const WRAPPING: Wrapping = { lineChars: 76, lineEnd: "crlf" };

await compare(
  [15_000, 700_000].flatMap((plainBytes) => {
    const plain = noise(plainBytes);
    const encoded = Buffer.from(plain.toString("base64").replace(/.{76}(?=.)/g, "$&\r\n"));
    const bytes = encoded.length;
    const target = Buffer.alloc(plainBytes + 8);
    const encoder = new WrappedEncoder(WRAPPING);
    const lines = Buffer.alloc(encoder.capacity(plainBytes) + 8);
    const of = (name: string, work: () => void) => ({ name: `${name}, ${bytes} bytes`, bytes, work });
    return [
      of("decode, ours", () => void new WrappedDecoder(WRAPPING).decode(encoded, 0, bytes, target, 0)),
      of("decode, Buffer.write", () => void target.write(encoded.toString("latin1"), 0, "base64")),
      of("encode, ours", () => {
        const fresh = new WrappedEncoder(WRAPPING);
        fresh.endInto(lines, fresh.pushInto(plain, lines));
      }),
      of("encode, Buffer, without lines", () => void plain.toString("base64")),
      of(
        "encode, Buffer, lines by replace",
        () => void plain.toString("base64").replace(/.{76}(?=.)/g, "$&\r\n"),
      ),
    ];
  }),
);
