/** Made-up mail: the same from the same seed on every machine; nobody in it exists. Lines end in CRLF. */
import { type Cipher, createCipheriv, createHash } from "node:crypto";

const GIVEN = ["Anna", "Bruno", "Carla", "Dora", "Emil", "Frida", "Gustav", "Hanna", "Ivo", "Jana"];
const FAMILY = ["Lind", "Berger", "Kowal", "Novak", "Olsen", "Petri", "Quast", "Rossi", "Stein", "Thal"];
const WORDS =
  "the of and meeting report invoice delivery garden window budget summer harbour letter answer question table " +
  "plan draft version number contract Tuesday morning train bridge paper colour engine river choir lesson";

/** Numbers that look random and depend on nothing but the seed: the key stream of a cipher. */
export class SeededRandom {
  readonly #stream: Cipher;

  constructor(seed: string) {
    const key = createHash("sha256").update(seed).digest();
    this.#stream = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  }

  bytes(count: number): Buffer {
    return this.#stream.update(Buffer.alloc(count));
  }

  /** An integer from 0 up to, not including, `limit`. */
  below(limit: number): number {
    return this.bytes(4).readUInt32BE(0) % limit;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }
}

export interface Attachment {
  readonly type: string;
  readonly name: string;
  readonly content: Uint8Array;
}

export class MailWriter {
  readonly #random: SeededRandom;
  readonly #seed: string;
  #number = 0;

  constructor(seed: string) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
  }

  /** A message of plain text, or with attachments a multipart/mixed of text and base64 parts. */
  message(options: { readonly subject?: string; readonly attachments?: readonly Attachment[] } = {}): Buffer {
    const attachments = options.attachments ?? [];
    const header = this.#header(options.subject ?? this.#words(2 + this.#random.below(6)));
    const text = this.#text(2 + this.#random.below(30));
    if (attachments.length === 0) {
      return crlf(`${header}Content-Type: text/plain; charset=us-ascii\n\n${text}`);
    }
    const boundary = this.#random.bytes(12).toString("hex");
    const parts: Buffer[] = [
      crlf(
        `${header}Content-Type: multipart/mixed; boundary="${boundary}"\n\n--${boundary}\n` +
          `Content-Type: text/plain; charset=us-ascii\n\n${text}`,
      ),
    ];
    for (const attachment of attachments) {
      parts.push(
        crlf(
          `\n--${boundary}\nContent-Type: ${attachment.type}; name="${attachment.name}"\n` +
            `Content-Disposition: attachment; filename="${attachment.name}"\nContent-Transfer-Encoding: base64\n\n`,
        ),
        base64Lines(attachment.content),
      );
    }
    parts.push(crlf(`\n--${boundary}--\n`));
    return Buffer.concat(parts);
  }

  /** A message that carries another one as it is: message/rfc822, its bytes verbatim. */
  forward(original: Uint8Array): Buffer {
    const boundary = this.#random.bytes(12).toString("hex");
    const before =
      `${this.#header("Fwd: see below")}Content-Type: multipart/mixed; boundary="${boundary}"\n\n--${boundary}\n` +
      `Content-Type: text/plain\n\n${this.#text(3)}\n--${boundary}\nContent-Type: message/rfc822\n\n`;
    return Buffer.concat([crlf(before), original, crlf(`\n--${boundary}--\n`)]);
  }

  /** Bytes above 127 without any declaration, in header and body, in no valid UTF-8. */
  rawEightBit(): Buffer {
    const header = this.#header("Gr\xfc\xdfe aus K\xf6ln");
    return Buffer.from(
      `${header}\nSch\xf6ne Gr\xfc\xdfe, \xa4 \xfe\xff\x80\n`.replaceAll("\n", "\r\n"),
      "latin1",
    );
  }

  /** Broken in ways that are met in real spools; all of it acceptable to Cyrus. */
  malformed(): Buffer[] {
    const id = () => `Message-ID: <${this.#random.bytes(8).toString("hex")}@example.org>\n`;
    const texts = [
      // No empty line after the header, no line end at the end.
      `${id()}Subject: only a header`,
      // The boundary never comes back.
      `${this.#header("cut off")}Content-Type: multipart/mixed; boundary="never"\n\n--never\n\npart one\n`,
      // Declared as base64, and is not.
      `${this.#header("not base64")}Content-Transfer-Encoding: base64\n\nthis is *not* base64!\n====\nQUJD=QUJD\n`,
      // A date from nowhere, a header that appears twice, a folded line of blanks.
      `${id()}Date: Foo, 99 Bar 2099 77:88:99\nSubject: one\nSubject: two\n \t \n\nbody\n`,
      // No header at all.
      "\nonly a body\n",
      // Boundaries that are prefixes of one another.
      `${this.#header("nested")}Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: multipart/mixed; boundary="bb"\n\n--bb\n\nx\n--bb--\n--b--\n`,
      // A line of 20,000 characters.
      `${this.#header("long line")}\n${"x".repeat(20_000)}\n`,
      // An empty body.
      `${this.#header("empty")}\n`,
    ];
    const bare = Buffer.from("Subject: bare ends\r\n\r\na line feed\na return\rand both\r\n");
    return [...texts.map(crlf), bare];
  }

  /** Pretends to be a document: text-like bytes that compress, different each time. */
  document(bytes: number): Buffer {
    let text = "";
    while (text.length < bytes) text += `${this.#words(12)}\n`;
    return Buffer.from(text.slice(0, bytes));
  }

  /** Bytes that do not compress, as in a picture. */
  picture(bytes: number): Buffer {
    return this.#random.bytes(bytes);
  }

  #header(subject: string): string {
    const n = ++this.#number;
    const person = () => {
      const given = this.#random.pick(GIVEN);
      const family = this.#random.pick(FAMILY);
      return `${given} ${family} <${given}.${family}@example.org>`.replace(/<.*>/, (address) =>
        address.toLowerCase(),
      );
    };
    const when = new Date(Date.UTC(2019, 2, 1, 8, 0, 0) + n * 3_600_000 * 7)
      .toUTCString()
      .replace("GMT", "+0000");
    return (
      `From: ${person()}\nTo: ${person()}\nSubject: ${subject}\nDate: ${when}\n` +
      `Message-ID: <${this.#seed}.${n}.${this.#random.bytes(6).toString("hex")}@example.org>\nMIME-Version: 1.0\n`
    );
  }

  #text(lines: number): string {
    let text = "";
    for (let i = 0; i < lines; i++) text += `${this.#words(6 + this.#random.below(6))}\n`;
    return text;
  }

  #words(count: number): string {
    const all = WORDS.split(" ");
    return Array.from({ length: count }, () => this.#random.pick(all)).join(" ");
  }
}

function crlf(text: string): Buffer {
  return Buffer.from(text.replaceAll("\n", "\r\n"), "latin1");
}

function base64Lines(content: Uint8Array): Buffer {
  const text = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("base64");
  return Buffer.from(text.replace(/.{76}/g, "$&\r\n"), "latin1");
}
