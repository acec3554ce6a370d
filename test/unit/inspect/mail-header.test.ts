import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeWords } from "../../../src/chunker/encoded-words.ts";
import { hasWholeHeader, readMailHeader } from "../../../src/inspect/mail-header.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");

test.each([
  ["a plain text", "Hello there", "Hello there"],
  ["a word in Q", "=?iso-8859-1?Q?Gr=FC=DFe_an_alle?=", "Grüße an alle"],
  ["a word in B", "=?UTF-8?B?0J/RgNC40LLQtdGC?=", "Привет"],
  ["two words, the blank between them gone", "=?utf-8?q?a?= =?utf-8?q?b?=", "ab"],
  ["a character cut between two words", "=?utf-8?B?w7w=?= =?utf-8?B?w58=?=", "üß"],
  ["a character cut in its bytes", "=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "ü"],
  ["text around a word", "Re: =?koi8-r?B?8NLJ18XU?= (2)", "Re: Привет (2)"],
  ["a language after the charset", "=?utf-8*de?Q?=C3=9Cbung?=", "Übung"],
  ["a charset nobody knows", "=?x-none?Q?abc?=", "abc"],
  ["UTF-8 as it is", "Gr\xc3\xbc\xc3\x9fe", "Grüße"],
  ["Latin-1 as it is", "Gr\xfc\xdfe", "Grüße"],
  ["no word at all", "=?utf-8?X?abc?=", "=?utf-8?X?abc?="],
])("%s is decoded", (_, raw, expected) => {
  expect(decodeWords(raw)).toBe(expected);
});

test("the fields shown are found whatever their case, folded or not, the first of several", () => {
  const header = readMailHeader(
    bytes(
      "SUBJECT: one\r\n two\r\nsubject: other\r\nFrom:Anna <a@example.org>\nMessage-ID: <x@y>\r\n\r\nSubject: body\r\n",
    ),
  );
  expect(header).toEqual({ subject: "one two", from: "Anna <a@example.org>", messageId: "<x@y>" });
});

test("what a message lacks is null, and the body is not looked at", () => {
  expect(readMailHeader(bytes("\r\nFrom: x\r\n"))).toEqual({ subject: null, from: null, messageId: null });
});

test("the end of a header is seen with either line end", () => {
  expect(hasWholeHeader(bytes("A: b\r\n\r\nc"))).toBe(true);
  expect(hasWholeHeader(bytes("A: b\n\nc"))).toBe(true);
  expect(hasWholeHeader(bytes("\r\n"))).toBe(true);
  expect(hasWholeHeader(bytes("A: b\r\nC: d"))).toBe(false);
});

test("any bytes have some header", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (input) => {
      const { subject } = readMailHeader(Buffer.concat([bytes("Subject: =?utf-8?B?"), input]));
      expect(subject === null || typeof subject === "string").toBe(true);
    }),
  );
});

test("a header full of beginnings of words takes no long time", () => {
  const began = performance.now();
  readMailHeader(bytes(`Subject: ${"=?a".repeat(50_000)}`));
  readMailHeader(bytes(`Subject: ${"=?a?q?".repeat(50_000)}\r\n`));
  expect(performance.now() - began).toBeLessThan(1000);
});
