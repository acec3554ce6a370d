import fc from "fast-check";
import { expect, test } from "vitest";
import { readPartHeader } from "../../../src/analyze/part-header.ts";

test.each([
  ["a filename", 'Content-Disposition: attachment; filename="a b.pdf"', "a b.pdf"],
  ["a filename without quotes", "content-disposition:attachment;filename=a.pdf; size=3", "a.pdf"],
  ["a name of the type alone", 'Content-Type: application/pdf;\r\n\tname="x.pdf"', "x.pdf"],
  ["the filename before the name", "Content-Type: a/b; name=b\nContent-Disposition: inline; filename=a", "a"],
  ["a quote in quotes", 'Content-Disposition: x; filename="a\\"b"', 'a"b'],
  ["an encoded word", 'Content-Type: a/b; name="=?utf-8?Q?=C3=9Cbung.doc?="', "Übung.doc"],
  ["an extended value", "Content-Disposition: x; filename*=utf-8''%e2%82%ac%20rates", "€ rates"],
  [
    "an extended value in sections",
    "Content-Disposition: x;\r\n filename*0*=iso-8859-1'de'%DCb;\r\n filename*1=ung;\r\n filename*2*=%2Edoc",
    "Übung.doc",
  ],
  ["UTF-8 as it is", 'Content-Disposition: x; filename="Gr\xc3\xbc\xc3\x9fe"', "Grüße"],
  ["no name", "Content-Type: application/pdf", undefined],
  ["an empty name", 'Content-Type: application/pdf; name=""', undefined],
  ["a name in another field", 'Subject: x; filename="a"\r\nContent-Type: a/b', undefined],
])("%s is read", (_, header, name) => {
  expect(readPartHeader(`\r\n--b\r\n${header}\r\n\r\n`).name).toBe(name);
});

test.each([
  ["Content-Type: text/plain; charset=utf-8", false],
  ["Content-Type: text/plain; name=notes.txt", true],
  ["Content-Type: text/html\r\nContent-Disposition: attachment", true],
  ["Content-Type: image/png", true],
  ["Content-Type: message/rfc822", false],
  ["", false],
])("what is an attachment: %s", (header, isAttachment) => {
  expect(readPartHeader(header).isAttachment).toBe(isAttachment);
});

test("a long name is cut, and whatever the bytes are there is an answer", () => {
  expect(readPartHeader(`Content-Disposition: x; filename="${"n".repeat(5000)}"`).name).toHaveLength(200);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = Buffer.from(bytes).toString("latin1");
      expect(readPartHeader(text).type).toMatch(/^[^/]+\/[^/]+$/);
      readPartHeader(`Content-Disposition: x; filename*0*=${text}`);
      readPartHeader(`Content-Type: ${text}`);
    }),
  );
});

test("a header made to be slow is not", () => {
  const started = performance.now();
  readPartHeader(`Content-Type: a/b${';name="\\'.repeat(20_000)}`);
  readPartHeader(`Content-Type: a/b${"; \t".repeat(20_000)}`);
  readPartHeader("Content-Type:\r\n ".repeat(20_000));
  expect(performance.now() - started).toBeLessThan(500);
});
