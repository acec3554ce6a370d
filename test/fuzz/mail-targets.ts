/** Fuzz targets: mail and the files beside it, cut into pieces and put together again. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ByteWriter } from "../../src/base/bytes.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { assembleMessageSync, assemblesTo } from "../../src/chunker/assemble.ts";
import { WrappedDecoder, WrappedEncoder } from "../../src/chunker/base64.ts";
import { decodeRaw, decodeWords } from "../../src/chunker/encoded-words.ts";
import { encodePieceList, parsePieceList } from "../../src/chunker/piece-list.ts";
import { chunkSmallFile } from "../../src/chunker/small-file.ts";
import { splitMessage } from "../../src/chunker/split.ts";
import { splitLargeMessage } from "../../src/chunker/split-large.ts";
import { makeSplitParameters } from "../../src/chunker/split-parameters.ts";
import { readMailHeader } from "../../src/inspect/mail-header.ts";
import { PairJoiner } from "../../src/manifest/content-pair.ts";
import { goldenSeeds } from "./golden-seeds.ts";
import { type FuzzTarget, requireThat } from "./target.ts";

const FIXTURES = join(import.meta.dirname, "../fixtures/cyrus");
const DAMAGED: readonly ErrorCode[] = ["REPOSITORY_DAMAGED", "REPOSITORY_VERSION"];
/** A message is looked at so many times, whatever is in it. */
const READS_MAX = 8;

const NESTED = `From: a@example.org
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain

hello
--inner--
--outer
Content-Type: image/png
Content-Transfer-Encoding: base64

${Buffer.alloc(3000, "attachment ").toString("base64").replace(/.{76}/g, "$&\n")}
--outer
Content-Type: message/rfc822

Subject: =?utf-8?q?in=20it?=

text
--outer--
`;

export const MAIL_TARGETS: readonly FuzzTarget[] = [
  {
    name: "mime",
    seeds: () => [
      Buffer.from(NESTED),
      Buffer.from(NESTED.replaceAll("\n", "\r\n")),
      ...fixtureFiles(/^\d+\.$/),
    ],
    codes: [],
    run: (input) => {
      const split = splitMessage(input, makeSplitParameters());
      const load = (position: number): Uint8Array => split.parts[position]?.bytes ?? new Uint8Array();
      requireThat(
        Buffer.compare(assembleMessageSync(split.head, split.tail, load), input) === 0,
        "other bytes come back",
      );
      requireThat(
        assemblesTo(split.head, split.tail, load, input),
        "it is said to assemble to something else",
      );
      let read = 0;
      const parts: Buffer[] = [];
      const { head, tail } = splitLargeMessage(
        (offset, length) => {
          read += length;
          return input.subarray(offset, offset + length);
        },
        input.length,
        (bytes) => parts.push(Buffer.from(bytes)),
      );
      requireThat(
        Buffer.compare(head, split.head) === 0 && Buffer.compare(tail, split.tail) === 0,
        "split otherwise in windows",
      );
      requireThat(parts.length === split.parts.length, "other parts in windows");
      requireThat(read <= READS_MAX * input.length + 1024, `${read} bytes read of ${input.length}`);
    },
  },
  {
    name: "piece-list",
    seeds: async () => [
      ...(await goldenSeeds()).messages.map(({ head, tail }) => withTail(head, tail)),
      withTail(
        encodePieceList(4, [{ sourceBytes: 3, references: 1, wrapping: { lineChars: 0, lineEnd: "lf" } }]),
        Buffer.alloc(0),
      ),
    ],
    codes: DAMAGED,
    run: (input) => {
      if (input.length < 4) return;
      const headBytes = input.readUInt32BE(0) % (input.length + 1);
      const head = input.subarray(4, 4 + headBytes);
      const tail = input.subarray(4 + head.length);
      const { totalBytes } = parsePieceList(head, tail.length);
      const part = Buffer.alloc(64, 7);
      let loads = 0;
      const message = assembleMessageSync(head, tail, () => {
        if (++loads > input.length) throw new Error("more references than bytes");
        return part;
      });
      requireThat(message.length === totalBytes, "another size than declared");
    },
  },
  {
    name: "base64",
    seeds: () => [
      Buffer.from(Buffer.alloc(700, "some text").toString("base64").replace(/.{76}/g, "$&\r\n")),
      Buffer.from(Buffer.alloc(100, 255).toString("base64").replace(/.{4}/g, "$&\n")),
      Buffer.from("QUJD\nQUI="),
    ],
    codes: [],
    run: (input) => {
      for (const lineChars of [0, 1, 4, 5, 72, 76])
        for (const lineEnd of ["lf", "crlf"] as const) {
          const wrapping = { lineChars, lineEnd };
          const decoder = new WrappedDecoder(wrapping);
          const target = Buffer.alloc(input.length + 3);
          const end = decoder.decode(input, 0, input.length, target, 0);
          const encoder = new WrappedEncoder(wrapping);
          const again = Buffer.concat([encoder.push(target.subarray(0, end)), encoder.end()]);
          requireThat(again.equals(input.subarray(0, decoder.position)), "it does not encode to the same");
        }
    },
  },
  {
    name: "mail-header",
    seeds: () => [
      Buffer.from(NESTED),
      Buffer.from("Subject: =?iso-8859-1?B?QUJD?= =?utf-8?q?=C3=A4?=\r\nFrom: =?x-unknown?b?!!?=\r\n\r\n"),
    ],
    codes: [],
    run: (input) => {
      readMailHeader(input);
      decodeWords(input.toString("latin1"));
      decodeRaw(input.toString("latin1"));
    },
  },
  {
    name: "small-file",
    seeds: () => fixtureFiles(/^(cyrus\.(index|cache|header)|.*\.(db|conversations))$/).map(enlarged),
    codes: [],
    run: (input) => {
      for (const name of ["cyrus.index", "x.conversations"]) {
        const joiner = new PairJoiner();
        const made: Uint8Array[] = [];
        const read = (offset: number, length: number) => input.subarray(offset, offset + length);
        for (const chunk of chunkSmallFile(name, input.length, read)) {
          if (chunk instanceof Uint8Array) made.push(Buffer.from(chunk));
          else made.push(Buffer.from(joinedOr(chunk, joiner)));
        }
        requireThat(Buffer.concat(made).equals(input), `${name}: other bytes come back`);
      }
    },
  },
];

/** A pair that is not what it should be is stored as it is: here it only must not be something else than refused. */
function joinedOr(
  { lasting, changing, bytes }: { lasting: Uint8Array; changing: Uint8Array; bytes: Uint8Array },
  joiner: PairJoiner,
): Uint8Array {
  try {
    joiner.join(lasting, changing);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "CyrvaultError") throw error;
  }
  return bytes;
}

function fixtureFiles(name: RegExp): Buffer[] {
  return readdirSync(FIXTURES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && name.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)).subarray(0, 65_536));
}

/** What is small is stored whole, and not looked at. */
function enlarged(bytes: Buffer): Buffer {
  return bytes.length === 0
    ? Buffer.alloc(70_000)
    : Buffer.concat([bytes, Buffer.alloc(70_000, bytes.subarray(-Math.min(bytes.length, 512)))]);
}

function withTail(head: Uint8Array, tail: Uint8Array): Buffer {
  return new ByteWriter().u32(head.length).raw(head).raw(tail).toBytes();
}
