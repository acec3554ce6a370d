import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parsePieceList } from "../../../src/chunker/piece-list.ts";
import { splitMessage } from "../../../src/chunker/split.ts";
import { makeSplitParameters } from "../../../src/chunker/split-parameters.ts";
import { mailBytes, noise, wrap } from "./mail-arbitrary.ts";
import { expectRoundTrip } from "./round-trip.ts";

const SMALL = makeSplitParameters({ partBytesMin: 100, textBytesMin: 100, decodedBytesMin: 3 });
const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const listOf = (split: { head: Uint8Array; tail: Uint8Array }) =>
  parsePieceList(split.head, split.tail.length);

function withAttachment(base64: string, lineEnd = "\r\n"): Buffer {
  const lines = [
    "Subject: report",
    'Content-Type: multipart/mixed; boundary="=_x"',
    "",
    "--=_x",
    "Content-Type: text/plain",
    "",
    "See attachment.",
    "--=_x",
    "Content-Type: application/pdf",
    "Content-Transfer-Encoding: base64",
    "",
    base64,
    "--=_x--",
    "",
  ];
  return latin1(lines.join(lineEnd));
}

describe("splitMessage", () => {
  test("gives back any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => void expectRoundTrip(bytes, SMALL)));
  });

  test("gives back plausible and malformed mails, with small and with default parameters", () => {
    fc.assert(
      fc.property(mailBytes, (bytes) => {
        expectRoundTrip(bytes, SMALL);
        expectRoundTrip(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  test("the generated mails have decoded pieces and references often enough to show something", () => {
    const seen = { decoded: 0, references: 0 };
    for (const bytes of fc.sample(mailBytes, { numRuns: 300, seed: 7 })) {
      const { pieces } = listOf(splitMessage(bytes, SMALL));
      if (pieces.some((piece) => piece.wrapping)) seen.decoded++;
      if (pieces.some((piece) => piece.references > 0)) seen.references++;
    }
    expect(seen.decoded).toBeGreaterThan(30);
    expect(seen.references).toBeGreaterThan(60);
  });

  test("an ordinary mail is head and tail, and a list of four bytes", () => {
    const mail = latin1("From: a@example.org\r\nSubject: hi\r\n\r\nHello.\r\n".padEnd(400, "x"));
    const split = expectRoundTrip(mail);
    expect(split.parts).toEqual([]);
    expect(listOf(split)).toMatchObject({ pieces: [], headerOffset: 3 });
    expect(Buffer.from(split.tail).subarray(0, 6).toString()).toBe("Hello.");
  });

  test("one attachment in three wrappings, two line ends and two multiparts is one part", () => {
    const attachment = noise(30_000);
    const base64 = attachment.toString("base64");
    const nested = (inner: Buffer, lineEnd: string): Buffer =>
      latin1(
        `Content-Type: multipart/alternative; boundary=outer${lineEnd}${lineEnd}--outer${lineEnd}Content-Type: message/rfc822${lineEnd}${lineEnd}${inner.toString("latin1")}--outer--${lineEnd}`,
      );
    for (const columns of [76, 72, 64]) {
      for (const lineEnd of ["\r\n", "\n"]) {
        const mail = withAttachment(wrap(base64, columns, lineEnd), lineEnd);
        for (const message of [mail, nested(mail, lineEnd)]) {
          const split = expectRoundTrip(message);
          expect(split.parts.length).toBe(1);
          expect(Buffer.compare(split.parts[0]?.bytes ?? attachment.subarray(1), attachment)).toBe(0);
          expect(split.tail.length).toBeLessThan(400);
        }
      }
    }
  });

  test("columns that are no multiple of four, one unbroken line, blank lines before and a footer after", () => {
    const attachment = noise(20_000);
    for (const columns of [0, 1, 2, 3, 7, 73, 998]) {
      for (const [before, after] of [
        ["", ""],
        ["\r\n\n", "\r\n\r\n_____\r\nA list's footer"],
        ["", "="],
      ]) {
        const body = before + wrap(attachment.toString("base64"), columns, "\r\n") + after;
        const split = expectRoundTrip(withAttachment(body));
        expect(split.parts.length).toBe(1);
        expect(Buffer.compare(split.parts[0]?.bytes ?? Buffer.alloc(0), attachment)).toBe(0);
      }
    }
  });

  test("base64 that is damaged in the middle is decoded up to the damage and kept as it is after it", () => {
    const chars = noise(60_000).toString("base64");
    const damaged = wrap(`${chars.slice(0, 40_000)}*${chars.slice(40_001)}`, 76, "\r\n");
    const split = expectRoundTrip(withAttachment(damaged));
    expect(split.parts.length).toBe(2);
    expect(split.parts[0]?.bytes.length).toBe(30_000);
    expect(
      Buffer.from(split.parts[1]?.bytes ?? [])
        .subarray(0, 1)
        .toString(),
    ).toBe("*");
  });

  test("what encodes to other bytes is not decoded: unused bits, the other alphabet, padding inside", () => {
    for (const body of ["QUJDREVGR1==", "QUJDREVGR0-_", "QQ==QUJDREVG", "QUJD REVGR0hJ"]) {
      const split = expectRoundTrip(withAttachment(body), SMALL);
      for (const piece of listOf(split).pieces) expect(piece.sourceBytes).not.toBe(9);
    }
  });

  test("a short decoded body is in the tail, decoded", () => {
    const split = expectRoundTrip(
      withAttachment(wrap(latin1("ja ".repeat(200)).toString("base64"), 76, "\r\n")),
    );
    expect(split.parts).toEqual([]);
    expect(Buffer.from(split.tail).includes("ja ja ja ja")).toBe(true);
    expect(listOf(split).pieces.some((piece) => piece.wrapping?.lineChars === 76)).toBe(true);
  });

  test("a base64 body that decodes to less than 192 bytes is kept as it is", () => {
    const decoded = (count: number) =>
      listOf(expectRoundTrip(withAttachment(noise(count).toString("base64")))).pieces.filter(
        (piece) => piece.wrapping,
      ).length;
    expect([decoded(1), decoded(191), decoded(192)]).toEqual([0, 0, 1]);
  });

  test("a text of 16 KiB is a part, a shorter one is not", () => {
    const mail = (count: number) => latin1(`Subject: long\r\n\r\n${"word ".repeat(4000).slice(0, count)}`);
    expect(splitMessage(mail(16_384)).parts.map((part) => part.bytes.length)).toEqual([16_384]);
    expect(splitMessage(mail(16_383)).parts).toEqual([]);
  });

  test("an attachment that decodes to 4 KiB is a part, a shorter one is not", () => {
    const parts = (count: number) =>
      splitMessage(withAttachment(wrap(noise(count).toString("base64"), 76, "\r\n"))).parts.map(
        (part) => part.bytes.length,
      );
    expect(parts(4096)).toEqual([4096]);
    expect(parts(4095)).toEqual([]);
  });

  test("an attachment beyond 1 MiB is cut into several references under one transform", () => {
    const attachment = noise(5_000_000);
    const split = expectRoundTrip(withAttachment(wrap(attachment.toString("base64"), 76, "\r\n")));
    expect(split.parts.length).toBeGreaterThan(2);
    expect(Buffer.compare(Buffer.concat(split.parts.map((part) => part.bytes)), attachment)).toBe(0);
    expect(listOf(split).pieces.filter((piece) => piece.references > 0).length).toBe(1);
    const other = expectRoundTrip(withAttachment(wrap(attachment.toString("base64"), 60, "\n")));
    expect(other.parts.map((part) => part.bytes.length)).toEqual(
      split.parts.map((part) => part.bytes.length),
    );
  });

  test("an attachment of 1 MiB is whole", () => {
    const split = expectRoundTrip(withAttachment(wrap(noise(1024 * 1024).toString("base64"), 76, "\r\n")));
    expect(split.parts.map((part) => part.bytes.length)).toEqual([1024 * 1024]);
  });

  test("parts of a multipart/digest are messages without saying so", () => {
    const inner = withAttachment(wrap(noise(9000).toString("base64"), 76, "\r\n")).toString("latin1");
    const digest = `Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n${inner}\r\n--d--\r\n`;
    expect(expectRoundTrip(latin1(digest)).parts.length).toBe(1);
  });
});
