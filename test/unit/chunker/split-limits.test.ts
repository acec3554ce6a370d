import { describe, expect, test } from "vitest";
import { memorySource } from "../../../src/chunker/byte-source.ts";
import { ENTITIES_MAX, HEADER_BYTES_MAX, NESTING_MAX, walkMessage } from "../../../src/chunker/mime-walk.ts";
import { TAIL_BYTES_MAX } from "../../../src/chunker/piece-builder.ts";
import { splitLargeMessage } from "../../../src/chunker/split-large.ts";
import { noise, wrap } from "./mail-arbitrary.ts";
import { expectRoundTrip } from "./round-trip.ts";

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

function bodiesOf(message: Buffer): string[] {
  const bodies: string[] = [];
  let position = 0;
  const next = (from: number, to: number): void => {
    if (from !== position || to < from) throw new Error(`a stretch ${from}–${to} after ${position}`);
    position = to;
  };
  walkMessage(memorySource(message), {
    header: next,
    structure: next,
    body(from, to) {
      next(from, to);
      bodies.push(message.toString("latin1", from, to));
    },
  });
  expect(position).toBe(message.length);
  return bodies;
}

const PATHOLOGICAL: readonly (readonly [string, () => Buffer])[] = [
  ["a line of four megabytes", () => latin1(`Subject: x\r\n\r\n${"a".repeat(4_000_000)}`)],
  ["a header that never ends", () => latin1("X-Header: value\r\n".repeat(100_000))],
  ["a header line of a megabyte", () => latin1(`X: ${"a".repeat(1_000_000)}\r\n\r\nbody`)],
  [
    "a thousand lines of Content-Type",
    () => latin1(`${"Content-Type: multipart/mixed;\r\n".repeat(5000)}\r\nbody`),
  ],
  [
    "five thousand parts",
    () => latin1(`Content-Type: multipart/mixed; boundary=b\r\n\r\n${"--b\r\n\r\nx\r\n".repeat(5000)}--b--`),
  ],
  [
    "a hundred thousand delimiters",
    () => latin1(`Content-Type: multipart/mixed; boundary=b\n\n${"--b\n".repeat(100_000)}`),
  ],
  [
    "dashes that are no delimiters",
    () => latin1(`Content-Type: multipart/mixed; boundary=b\n\n${"--bb\n--\n--b-\n".repeat(100_000)}`),
  ],
  ["nothing but dashes", () => latin1(`Content-Type: multipart/mixed; boundary=-\n\n${"-".repeat(500_000)}`)],
  [
    "multiparts in multiparts",
    () =>
      latin1(
        Array.from(
          { length: 3000 },
          (_, i) => `Content-Type: multipart/mixed; boundary=n${i}\r\n\r\n--n${i}\r\n`,
        ).join(""),
      ),
  ],
  ["messages in messages", () => latin1("Content-Type: message/rfc822\r\n\r\n".repeat(50_000))],
  [
    "one boundary for all levels",
    () => latin1("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(20_000)),
  ],
  [
    "a quote that is never closed",
    () => latin1(`Content-Type: multipart/mixed; ${';boundary="\\"'.repeat(50_000)}\r\n\r\n`),
  ],
  [
    "base64 of one character a line",
    () => latin1(`Content-Transfer-Encoding: base64\r\n\r\n${wrap("QUJD".repeat(100_000), 1, "\r\n")}`),
  ],
  [
    "base64 with each line padded",
    () => latin1(`Content-Transfer-Encoding: base64\r\n\r\n${"QUJDQQ==\r\n".repeat(100_000)}`),
  ],
  [
    "three megabytes of small decoded parts in a tail of two",
    () => {
      const part = `--b\r\nContent-Transfer-Encoding: base64\r\n\r\n${noise(8000).toString("base64")}\r\n`;
      return latin1(`Content-Type: multipart/mixed; boundary=b\r\n\r\n${part.repeat(400)}--b--`);
    },
  ],
  [
    "three megabytes of small parts in a tail of two",
    () =>
      latin1(
        `Content-Type: multipart/mixed; boundary=b\r\n\r\n${`--b\r\nX: ${"h".repeat(5000)}\r\n\r\n${"t".repeat(5000)}\r\n`.repeat(300)}--b--`,
      ),
  ],
];

describe("the walk", () => {
  const start = (boundary: string) => `Content-Type: multipart/mixed; boundary=${boundary}\n\n`;

  test("finds preamble, parts and epilogue, without the line end before a delimiter", () => {
    const mail = latin1(`${start("b")}pre\n--b\n\none\r\n--b  \t\r\nX: y\n\ntwo\n\n--b--\nepilogue\n`);
    expect(bodiesOf(mail)).toEqual(["pre", "one", "two\n", "epilogue\n"]);
  });

  test("knows no delimiter of a multipart that is closed", () => {
    expect(bodiesOf(latin1(`${start("b")}\n--b--\nx\n--b\n\ny\n--b--\n`))).toEqual([
      "",
      "x\n--b\n\ny\n--b--\n",
    ]);
  });

  test("a delimiter belongs to the innermost multipart with that boundary, and closes those inside of it", () => {
    const inner = `${start("b")}--b\n\none\n--b--\n`;
    expect(bodiesOf(latin1(`${start("b")}--b\n${inner}--b\n\ntwo\n--b--\nend`))).toEqual([
      "",
      "",
      "one",
      "",
      "two",
      "end",
    ]);
    const open = `${start("i")}--i\n\none\n`;
    expect(bodiesOf(latin1(`${start("o")}--o\n${open}--o\n\ntwo\n--i\nx\n--o--`))).toEqual([
      "",
      "",
      "one",
      "two\n--i\nx",
    ]);
  });

  test("a part without a blank line ends at the next delimiter all the same", () => {
    expect(bodiesOf(latin1(`${start("b")}--b\nX: y\n--b\n\ntwo\n--b--\n`))).toEqual(["", "", "two"]);
  });
});

describe("the limits", () => {
  test.for(PATHOLOGICAL)("%s: comes back", ([, make]) => {
    const message = make();
    bodiesOf(message);
    const split = expectRoundTrip(message);
    expect(split.tail.length).toBeLessThanOrEqual(TAIL_BYTES_MAX);
  });

  test(`parts beyond ${ENTITIES_MAX} are one body`, () => {
    const mail = latin1(
      `Content-Type: multipart/mixed; boundary=b\r\n\r\n${"--b\r\n\r\nx\r\n".repeat(5000)}--b--`,
    );
    expect(bodiesOf(mail).length).toBe(ENTITIES_MAX + 1);
  });

  test(`multiparts deeper than ${NESTING_MAX} are leaves`, () => {
    const level = (i: number) => `Content-Type: multipart/mixed; boundary=n${i}\r\n\r\n--n${i}\r\n`;
    const mail = (depth: number) => latin1(Array.from({ length: depth }, (_, i) => level(i)).join(""));
    expect(bodiesOf(mail(NESTING_MAX)).length).toBe(NESTING_MAX);
    expect(bodiesOf(mail(3000)).length).toBe(NESTING_MAX + 1);
  });

  test(`messages deeper than ${NESTING_MAX} are bodies`, () => {
    const header = "Content-Type: message/rfc822\r\n\r\n";
    expect(bodiesOf(latin1(header.repeat(100)))).toEqual([header.repeat(99 - NESTING_MAX)]);
  });

  test("a header beyond 256 KiB is a body", () => {
    const line = "X-Header: value\r\n";
    const long = latin1(`${line.repeat(Math.ceil(HEADER_BYTES_MAX / line.length))}\r\nbody`);
    expect(expectRoundTrip(long).head.length).toBeLessThan(100);
  });

  test("work grows with the size: what is read stays within five times the message", () => {
    for (const [name, make] of PATHOLOGICAL) {
      const message = make();
      let bytesRead = 0;
      const read = (offset: number, length: number): Uint8Array => {
        bytesRead += length;
        return message.subarray(offset, offset + length);
      };
      splitLargeMessage(read, message.length, () => {});
      expect(bytesRead, name).toBeLessThan(5 * message.length + 4 * 1024 * 1024);
    }
  });
});

describe("a message that is not held", () => {
  const attachment = noise(1_400_000);
  const part = latin1(
    `\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n${wrap(attachment.toString("base64"), 76, "\r\n")}`,
  );
  const head = latin1("Subject: big\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble");

  test("40 MB: same parts as in memory, read in stretches of at most 1 MiB, a few times at most", () => {
    const message = Buffer.concat([head, ...Array.from({ length: 20 }, () => part), latin1("\r\n--b--\r\n")]);
    let bytesRead = 0;
    let largest = 0;
    let parts = 0;
    const read = (offset: number, length: number): Uint8Array => {
      bytesRead += length;
      largest = Math.max(largest, length);
      return message.subarray(offset, offset + length);
    };
    const { head: stored, tail } = splitLargeMessage(read, message.length, (bytes) => {
      parts++;
      expect(bytes.length).toBeLessThanOrEqual(4 * 1024 * 1024);
    });
    expect(stored.length + tail.length).toBeLessThan(3000);
    expect(parts).toBeGreaterThanOrEqual(20);
    expect(largest).toBeLessThanOrEqual(1024 * 1024);
    expect(bytesRead).toBeLessThan(4 * message.length);
  });

  test("delimiters, line ends and base64 groups across the edge of the window", () => {
    const window = 1024 * 1024;
    for (let shift = -3; shift <= 100; shift += shift < 8 ? 1 : 13) {
      const filler = Buffer.alloc(window - head.length - 6 + shift, "text of a preamble\r\n");
      const message = Buffer.concat([
        head,
        filler,
        part.subarray(0, 3000),
        part.subarray(0, 1_200_000),
        latin1("\r\n--b--"),
      ]);
      expectRoundTrip(message);
    }
  });
});
