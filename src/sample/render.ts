/** Makes the message file of one copy of a letter, and what Cyrus notes of it in `cyrus.index` and `cyrus.cache`. */
import { hash } from "node:crypto";
import { type Envelope, encodeCacheRecord } from "./cache-record.ts";
import { type DocumentPool, wrappedBase64 } from "./documents.ts";
import type { Letter } from "./letter.ts";
import { assemble, type Leaf, type Part, type PlacedPart, textPart } from "./mime.ts";
import { addressOf, outsidePerson, type Person, SERVER_DOMAIN, userPerson } from "./people.ts";
import { Random } from "./random.ts";
import { makeParagraphs, makePhrase, type Paragraph, wrap } from "./words.ts";

/**
 * Which copy: the author's own in Sent (no trace of transport), the one that a delivery to several users shares, or one
 * delivered to one user alone, with traces of its own way: the same user may get a letter twice.
 */
export type Copy =
  | { readonly kind: "sent" }
  | { readonly kind: "shared" }
  | { readonly kind: "single"; readonly user: number; readonly delivery: number };

export interface RenderedMessage {
  readonly bytes: Buffer;
  /** SHA-1 of `bytes`. */
  readonly guid: Buffer;
  readonly headerBytes: number;
  /** Seconds since 1970: of the newest Received line, else the Date header. */
  readonly internalDate: number;
  /** The Date header in seconds since 1970. */
  readonly sentAt: number;
  /** Midnight of the day that the Date header names. */
  readonly sentDay: number;
  readonly cacheRecord: Buffer;
  /** Decoded, of its texts. */
  readonly textBytes: number;
  /** Decoded, of the letter's documents and pictures, in their order. */
  readonly documentBytes: readonly number[];
}

const DAY_NAMES = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTH_NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const ZONES = [
  ["+0000", 0],
  ["+0100", 3600],
  ["+0200", 7200],
  ["-0500", -18_000],
] as const;
const DAY_SECONDS = 86_400;
/** Of an RSA key of 2,048 bits. */
const SIGNATURE_BYTES = 256;
const AGENTS = ["Sample Mail 2.1", "Quill/4.0 (X11; Linux)", "Postbote 11.3", "Harbour Webmail"];
/** By author: most programs write as much as is allowed (RFC 2045), Mozilla's write 72. */
const BASE64_LINES = [76, 76, 76, 72];
const ACCENTS = ["sch\u00f6n", "caf\u00e9", "\u00dcbung", "na\u00efve", "Gr\u00fc\u00dfe", "\u010desky"];

export class Renderer {
  readonly #seed: number;
  readonly #documents: DocumentPool;

  constructor(seed: number, documents: DocumentPool) {
    this.#seed = seed;
    this.#documents = documents;
  }

  render(letter: Letter, copy: Copy): RenderedMessage {
    const random = new Random(this.#seed, 0x1e77e4, letter.number);
    const [zone, zoneSeconds] = random.pick(ZONES);
    const date = rfc5322Date(letter.sentAt, zone, zoneSeconds);
    const envelope = this.#envelope(letter, date);
    const internalDate = copy.kind === "sent" ? letter.sentAt : letter.sentAt + 2 + random.below(40);
    const root = this.#content(random, letter, copy);
    const header = [
      ...this.#transport(letter, copy, envelope, internalDate),
      ...addressFields(envelope),
      `Subject: ${envelope.subject}`,
      `Date: ${date}`,
      `Message-ID: ${envelope.messageId}`,
      ...threadFields(letter),
      ...(letter.kind === "newsletter"
        ? listFields(letter, copy)
        : [`User-Agent: ${AGENTS[letter.from % 4]}`]),
    ];
    const { bytes, root: placed } = assemble(header, root);
    const whole = bytes.toString("latin1", 0, placed.headerBytes - 4).split(/\r\n(?=\S)/);
    return {
      bytes,
      guid: hash("sha1", bytes, "buffer"),
      headerBytes: placed.headerBytes,
      internalDate,
      sentAt: letter.sentAt,
      sentDay: Math.floor((letter.sentAt + zoneSeconds) / DAY_SECONDS) * DAY_SECONDS,
      cacheRecord: encodeCacheRecord(envelope, whole, placed),
      textBytes: decodedTextBytes(placed),
      documentBytes: [...letter.documents, ...letter.pictures].map(
        (number) => this.#documents.get(number).content.length,
      ),
    };
  }

  #envelope(letter: Letter, date: string): Envelope {
    const { encoded, plain } = subjectOf(this.#seed, letter);
    return {
      date,
      subject: encoded,
      decodedSubject: plain,
      from: [authorOf(letter)],
      to: letter.to.map(userPerson),
      cc: letter.cc.map(userPerson),
      inReplyTo:
        letter.kind === "reply" && letter.parent !== undefined ? messageIdOf(letter.parent) : undefined,
      messageId: messageIdOf(letter),
    };
  }

  #content(random: Random, letter: Letter, copy: Copy): Part {
    const text = this.#text(letter, copy);
    const documents = letter.documents.map((number) => this.#attachment(letter, number));
    if (documents.length === 0) return text;
    return {
      kind: "multipart",
      subtype: "MIXED",
      boundary: `mixed_${random.token(22)}`,
      parts: [text, ...documents],
    };
  }

  #text(letter: Letter, copy: Copy): Part {
    const random = new Random(this.#seed, 0x7e87, textNumber(letter));
    const paragraphs = paragraphsOf(this.#seed, letter);
    const own =
      letter.kind === "newsletter" && copy.kind === "single" ? personalLines(letter, copy.user) : "";
    const parent = letter.parent;
    const quoted = parent === undefined ? [] : paragraphsOf(this.#seed, parent);
    const said = parent === undefined ? "" : `${authorOf(parent).name} wrote:\r\n${wrap(quoted, "> ")}`;
    const plain = textPart("PLAIN", `${own}${wrap(paragraphs)}${said}-- \r\n${authorOf(letter).name}\r\n`);
    if (!letter.html) return plain;
    const html = this.#withPictures(
      letter,
      random,
      textPart("HTML", htmlOf(letter, own, paragraphs, quoted)),
    );
    return {
      kind: "multipart",
      subtype: "ALTERNATIVE",
      boundary: `alt_${random.token(24)}`,
      parts: [plain, html],
    };
  }

  #withPictures(letter: Letter, random: Random, html: Leaf): Part {
    if (letter.pictures.length === 0) return html;
    return {
      kind: "multipart",
      subtype: "RELATED",
      boundary: `related_${random.token(20)}`,
      parts: [
        html,
        ...letter.pictures.map((number) => ({
          ...this.#attachment(letter, number),
          contentId: `<${contentIdOf(letter, number)}>`,
        })),
      ],
    };
  }

  #attachment(letter: Letter, number: number): Leaf {
    const document = this.#documents.get(number);
    return {
      kind: "leaf",
      type: document.type.toUpperCase(),
      subtype: document.subtype.toUpperCase(),
      parameters: [["NAME", document.fileName]],
      encoding: "BASE64",
      fileName: document.fileName,
      body: wrappedBase64(document.content, BASE64_LINES[letter.from % BASE64_LINES.length]),
      decoded: { bytes: document.content.length, sha1: document.sha1 },
    };
  }

  #transport(letter: Letter, copy: Copy, envelope: Envelope, internalDate: number): string[] {
    if (copy.kind === "sent") return [];
    const recipient = copy.kind === "single" ? copy.user : -1;
    const delivery = copy.kind === "single" ? copy.delivery : 0;
    const random = new Random(this.#seed, 0x4ec, letter.number, recipient, delivery);
    const author = envelope.from[0] as Person;
    const stamp = (secondsBefore: number) => rfc5322Date(internalDate - secondsBefore, "+0000", 0);
    const host = `mail${letter.from % 9}.${author.domain}`;
    const isMarked = copy.kind === "single";
    const recipientPart = isMarked ? `\r\n\tfor <${addressOf(userPerson(recipient))}>` : "";
    const lines = [
      `Return-Path: <${addressOf(author)}>`,
      ...(isMarked ? [`X-Original-To: ${addressOf(userPerson(recipient))}`] : []),
      `Received: from mx.${SERVER_DOMAIN} ([192.0.2.25])\r\n\tby mail.${SERVER_DOMAIN} (Cyrus 3.6.1) with LMTPA;\r\n\t${stamp(0)}`,
      `X-Cyrus-Session-Id: lmtp-${random.below(60_000)}-${internalDate}-1-${random.token(16)}`,
      "X-Sieve: CMU Sieve 3.0",
      `Received: from ${host} (${host} [198.51.100.${letter.from % 250}])\r\n\tby mx.${SERVER_DOMAIN} with ESMTPS id ${random.token(11).toUpperCase()}${recipientPart};\r\n\t${stamp(1)}`,
      `Received: from client (unknown [203.0.113.${letter.from % 250}])\r\n\tby ${host} with ESMTPSA id ${random.token(11).toUpperCase()};\r\n\t${stamp(2)}`,
      `X-Spam-Score: ${(random.below(40) / 10 - 2).toFixed(1)}`,
    ];
    if (!letter.fromUser) lines.push(signature(new Random(this.#seed, 0xd1, letter.number), author.domain));
    return lines;
  }
}

/** A newsletter's text is that of its issue. */
function textNumber(letter: Letter): number {
  return letter.kind === "newsletter" ? -(letter.issue * 64 + letter.from) : letter.number;
}

function paragraphsOf(seed: number, letter: Letter): Paragraph[] {
  const random = new Random(seed, 0x9a4a, textNumber(letter));
  const factor = letter.kind === "newsletter" ? 0.5 + random.unit() : 1;
  const paragraphs = makeParagraphs(random, letter.textCharacters * factor);
  if (textNumber(letter) % 8 === 0) paragraphs.unshift([random.pick(ACCENTS), random.pick(ACCENTS)]);
  return paragraphs;
}

function subjectOf(seed: number, letter: Letter): { encoded: string; plain: string } {
  if (letter.kind === "reply" || letter.kind === "forward") {
    const prefix = letter.kind === "reply" ? "Re: " : "Fwd: ";
    const base = letter.parent === undefined ? { encoded: "", plain: "" } : subjectOf(seed, letter.parent);
    const strip = (text: string) => prefix + text.replace(/^(?:(?:Re|Fwd): )+/, "");
    return { encoded: strip(base.encoded), plain: strip(base.plain) };
  }
  const random = new Random(seed, 0x5b, textNumber(letter));
  const plain = makePhrase(random, 2 + random.below(6));
  if (textNumber(letter) % 24 !== 0) return { encoded: plain, plain };
  const word = random.pick(ACCENTS);
  return {
    encoded: `=?utf-8?B?${Buffer.from(word).toString("base64")}?= ${plain}`,
    plain: `${word} ${plain}`,
  };
}

function authorOf(letter: Letter): Person {
  if (letter.fromUser) return userPerson(letter.from);
  if (letter.kind !== "newsletter") return outsidePerson(letter.from);
  return { name: `Journal ${letter.from}`, local: `journal${letter.from}`, domain: "news.example.com" };
}

function messageIdOf(letter: Letter): string {
  return `<${letter.sentAt.toString(36)}.${letter.number.toString(36)}@${authorOf(letter).domain}>`;
}

function addressFields(envelope: Envelope): string[] {
  const list = (people: readonly Person[]) =>
    people.map((person) => `${person.name} <${addressOf(person)}>`).join(",\r\n\t");
  const lines = [`From: ${list(envelope.from)}`, `To: ${list(envelope.to)}`];
  if (envelope.cc.length > 0) lines.push(`Cc: ${list(envelope.cc)}`);
  return lines;
}

function threadFields(letter: Letter): string[] {
  if (letter.kind !== "reply" || letter.parent === undefined) return [];
  const ids: string[] = [];
  for (let before: Letter | undefined = letter.parent; before !== undefined; before = before.parent)
    ids.unshift(messageIdOf(before));
  return [`In-Reply-To: ${messageIdOf(letter.parent)}`, `References: ${ids.join("\r\n\t")}`];
}

function listFields(letter: Letter, copy: Copy): string[] {
  const token = copy.kind === "single" ? new Random(letter.from, copy.user).token(20) : "all";
  return [
    `List-Id: Journal ${letter.from} <journal${letter.from}.news.example.com>`,
    `List-Unsubscribe: <https://news.example.com/${letter.from}/leave?reader=${token}>`,
  ];
}

function personalLines(letter: Letter, user: number): string {
  const token = new Random(letter.from, user).token(20);
  return `Dear ${userPerson(user).name},\r\n\r\nread this on https://news.example.com/${letter.from}/${letter.issue}?reader=${token}\r\n\r\n`;
}

function htmlOf(
  letter: Letter,
  own: string,
  paragraphs: readonly Paragraph[],
  quoted: readonly Paragraph[],
): string {
  const colour = ((letter.from * 2_654_435) % 0xffffff).toString(16).padStart(6, "0");
  const cell = (words: Paragraph) =>
    `<p class="body" style="margin: 0 0 1em 0; font-family: sans-serif; color: #${colour}">\r\n${wrap([words]).trimEnd()}\r\n</p>\r\n`;
  const sheet =
    letter.kind === "newsletter"
      ? paragraphs
          .map((_, i) => `td.c${i} { padding: ${i}px 12px; border-top: 1px solid #${colour}; }\r\n`)
          .join("")
      : "";
  return (
    `<!DOCTYPE html>\r\n<html><head><meta http-equiv="Content-Type" content="text/html">\r\n<style>\r\n` +
    `body { font-size: 11pt; }\r\n${sheet}</style></head>\r\n<body>\r\n${own === "" ? "" : `<p>${own.trimEnd()}</p>\r\n`}` +
    paragraphs.map(cell).join("") +
    (quoted.length === 0 ? "" : `<blockquote type="cite">\r\n${quoted.map(cell).join("")}</blockquote>\r\n`) +
    letter.pictures.map((number) => `<img src="cid:${contentIdOf(letter, number)}">\r\n`).join("") +
    "</body></html>\r\n"
  );
}

/** The author's program makes up another one each time. */
function contentIdOf(letter: Letter, picture: number): string {
  return `p${-picture}.${letter.number.toString(36)}@${authorOf(letter).domain}`;
}

function decodedTextBytes({ part, decoded, children }: PlacedPart): number {
  const own =
    part.kind === "leaf" && part.type === "TEXT" && part.encoding !== "BASE64" ? (decoded?.bytes ?? 0) : 0;
  return children.reduce((sum, child) => sum + decodedTextBytes(child), own);
}

function signature(random: Random, domain: string): string {
  const value = Buffer.alloc(SIGNATURE_BYTES);
  for (let at = 0; at < SIGNATURE_BYTES; at += 4) value.writeUInt32LE(random.u32(), at);
  const text = value.toString("base64");
  let lines = "";
  for (let at = 0; at < text.length; at += 64) lines += `\r\n\t ${text.slice(at, at + 64)}`;
  return `DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=${domain}; s=key1;\r\n\th=from:to:subject:date:message-id; b=${lines}`;
}

function rfc5322Date(seconds: number, zone: string, zoneSeconds: number): string {
  const date = new Date((seconds + zoneSeconds) * 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  return (
    `${DAY_NAMES[date.getUTCDay()]}, ${two(date.getUTCDate())} ${MONTH_NAMES[date.getUTCMonth()]} ${date.getUTCFullYear()} ` +
    `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} ${zone}`
  );
}
