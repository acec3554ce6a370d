/** Mails as they are and as they should not be, for property tests. */
import fc from "fast-check";

const lineEnd = fc.constantFrom(...Array<string>(8).fill("\r\n"), "\n", "\n", "\r");

function rarely<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.oneof({ weight: 5, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: value });
}

const boundary = fc.constantFrom("b", "b", "=_outer", "=_inner", "b--", "-", "a b", "B\x00", "\xe9");

const text = fc.array(
  fc.oneof(
    fc.string({ unit: "binary-ascii", maxLength: 60 }),
    fc.constantFrom(
      "",
      "--",
      "-- ",
      "--b",
      "--b--",
      "--=_outer",
      " --b",
      "\n--b",
      "Content-Type: text/plain",
      "\x00",
      "\xff\xfe",
      "=",
      "QUJD",
    ),
    fc.integer({ min: 0, max: 3000 }).map((count) => "x".repeat(count)),
  ),
  { maxLength: 8 },
);

/** Base64 in lines, mostly right. */
const base64Body = fc
  .record({
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 700 }),
      fc
        .tuple(fc.integer({ min: 0, max: 12_000 }), fc.uint8Array({ minLength: 1, maxLength: 9 }))
        .map(([count, unit]) => Buffer.alloc(count, Buffer.from(unit))),
    ),
    columns: fc.constantFrom(0, 1, 2, 3, 5, 60, 64, 72, 73, 76, 76, 76, 1000),
    end: lineEnd,
    lead: fc.constantFrom("", "", "", "\r\n", "\n\n"),
    trail: fc.constantFrom("", "", "\r\n", "\n", "=", "\r\n\r\nfooter", "QUJD", "\x00", " "),
    damage: rarely(fc.tuple(fc.nat(), fc.constantFrom("", "!", "=", "\r", "\n", " ", "-", "_", "A"))),
  })
  .map(({ bytes, columns, end, lead, trail, damage }) => {
    let encoded = wrap(Buffer.from(bytes).toString("base64"), columns, end);
    if (damage) {
      const at = damage[0] % (encoded.length + 1);
      encoded = encoded.slice(0, at) + damage[1] + encoded.slice(at + 1);
    }
    return lead + encoded + trail;
  });

const textEntity = fc
  .tuple(
    fc.array(
      fc.constantFrom("Subject: x", "X: a\n\tb", "Content-Type: text/plain", "no colon", "\xfc: \x00"),
    ),
    lineEnd,
    text,
    fc.boolean(),
  )
  .map(
    ([fields, end, lines, blank]) =>
      fields.map((field) => field + end).join("") + (blank ? end : "") + lines.join(end),
  );

const base64Entity = fc
  .tuple(lineEnd, base64Body, fc.constantFrom("base64", "BASE64", " base64 ", "\r\n base64"))
  .map(
    ([end, body, name]) =>
      `Content-Type: image/png${end}Content-Transfer-Encoding:${name}${end}${end}${body}`,
  );

function multipart(part: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .record({
      end: lineEnd,
      declared: boundary,
      used: rarely(boundary),
      quote: fc.constantFrom('"', '"', "", '\\"'),
      kind: fc.constantFrom("mixed", "digest", "related"),
      preamble: text,
      parts: fc.array(part, { maxLength: 4 }),
      blank: fc.constantFrom(2, 2, 2, 2, 2, 1, 0),
      closing: fc.constantFrom("--", "--", "", "-- \t", "--x"),
    })
    .map(({ end, declared, used, quote, kind, preamble, parts, blank, closing }) => {
      const line = `${end}--${used ?? declared}`;
      const type = `Content-Type: multipart/${kind};${end} boundary=${quote}${declared}${quote}`;
      const body = parts.map((text) => line + end + text).join("");
      return type + end.repeat(blank) + preamble.join(end) + body + line + closing + end;
    });
}

const mail = fc.letrec<{ entity: string }>((tie) => ({
  entity: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    textEntity,
    { weight: 2, arbitrary: base64Entity },
    fc
      .tuple(lineEnd, tie("entity"))
      .map(([end, inner]) => `Content-Type: message/rfc822${end}${end}${inner as string}`),
    { weight: 4, arbitrary: multipart(tie("entity") as fc.Arbitrary<string>) },
  ),
}));

/** Bytes of a mail, damaged here and there. */
export const mailBytes: fc.Arbitrary<Buffer> = fc
  .tuple(mail.entity, rarely(fc.tuple(fc.nat(), fc.nat())))
  .map(([entity, cut]) => {
    const bytes = Buffer.from(entity, "latin1");
    if (cut === null) return bytes;
    const [a, b] = [cut[0] % (bytes.length + 1), cut[1] % (bytes.length + 1)];
    return bytes.subarray(Math.min(a, b), Math.max(a, b));
  });

export function wrap(chars: string, columns: number, lineEnd: string): string {
  if (columns === 0) return chars;
  const lines: string[] = [];
  for (let at = 0; at < chars.length; at += columns) lines.push(chars.slice(at, at + columns));
  return lines.join(lineEnd);
}

/** The same bytes for the same seed, on every machine; they don't compress. */
export function noise(count: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  let state = seed;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}
