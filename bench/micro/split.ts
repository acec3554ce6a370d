/**
 * MB per second of processor time of the chunker: `npx tsx bench/micro/split.ts`. The best of several rounds, over generated mail;
 * a directory of message files can be given instead: `npx tsx bench/micro/split.ts DIR`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { assembleMessageSync } from "../../src/chunker/assemble.ts";
import { ATTACHMENT_CUTS, FastCdc, SMALL_FILE_CUTS } from "../../src/chunker/fastcdc.ts";
import { chunkIndexRecords } from "../../src/chunker/index-records.ts";
import { splitMessage } from "../../src/chunker/split.ts";
import { splitLargeMessage } from "../../src/chunker/split-large.ts";
import { StreamCutter } from "../../src/chunker/stream-cutter.ts";

const ROUNDS = 7;
const ROUND_BYTES = 100_000_000;

const HEADER = Array.from({ length: 12 }, (_, i) =>
  i % 2 === 0
    ? `Received: from mx${i}.example.org (mx${i}.example.org [192.0.2.${i}])\r\n\tby mail.example.net; Mon, 1 Jan 2024 00:00:0${i % 10} +0000`
    : `X-Header-${i}: ${"value ".repeat(8)}`,
).join("\r\n");
const TEXT = `${"The quick brown fox jumps over the lazy dog, -- and again.\r\nOn Monday somebody wrote:\r\n> quoted\r\n".repeat(15)}-- \r\nS. Omebody\r\n`;

function noise(count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  let state = 1;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

function text(bytes: number): Buffer {
  return Buffer.from(
    `${HEADER}\r\nSubject: x\r\n\r\n${TEXT.repeat(Math.ceil(bytes / TEXT.length)).slice(0, bytes)}`,
  );
}

function multipart(textBytes: number, attachmentBytes: number): Buffer {
  const body = TEXT.repeat(Math.ceil(textBytes / TEXT.length)).slice(0, textBytes);
  const base64 = noise(attachmentBytes).toString("base64").replace(/.{76}/g, "$&\r\n");
  return Buffer.from(
    `${HEADER}\r\nContent-Type: multipart/mixed; boundary="=_b"\r\n\r\n--=_b\r\nContent-Type: text/plain\r\n\r\n${body}` +
      `\r\n--=_b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n${base64}\r\n--=_b--\r\n`,
  );
}

function measure(name: string, bytes: number, work: () => void): void {
  const times = Math.max(1, Math.round(ROUND_BYTES / bytes));
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < times; i++) work();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / 1e6);
  }
  console.log(`${name.padEnd(44)} ${((bytes * times) / best / 1e6).toFixed(0).padStart(6)} MB/s`);
}

function measureMessages(name: string, messages: readonly Buffer[]): void {
  const bytes = messages.reduce((sum, message) => sum + message.length, 0);
  measure(`split: ${name}`, bytes, () => {
    for (const message of messages) splitMessage(message);
  });
  const splits = messages.map((message) => splitMessage(message));
  measure(`assemble: ${name}`, bytes, () => {
    for (const { head, tail, parts } of splits) {
      assembleMessageSync(head, tail, (position) => parts[position]?.bytes ?? new Uint8Array());
    }
  });
}

const directory = process.argv[2];
if (directory !== undefined) {
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  measureMessages(
    directory,
    files.map((entry) => readFileSync(join(directory, entry.name))),
  );
} else {
  measureMessages("text mail, 4 KB", [text(3000)]);
  measureMessages("text mail, 20 KB", [text(19_000)]);
  measureMessages("multipart, 4 KB text, no attachment", [multipart(4000, 30)]);
  measureMessages("multipart, 200 KB text", [multipart(200_000, 30)]);
  measureMessages("attachment, 50 KB", [multipart(2000, 37_000)]);
  measureMessages("attachment, 1 MB", [multipart(2000, 730_000)]);
  measureMessages("attachment, 12 MB (cut)", [multipart(2000, 9_000_000)]);
  const large = multipart(2000, 30_000_000);
  measure("split in windows: attachment, 40 MB", large.length, () => {
    splitLargeMessage(
      (offset, length) => large.subarray(offset, offset + length),
      large.length,
      () => {},
    );
  });
  const bytes = noise(20_000_000);
  for (const [name, sizes] of [
    ["attachments", ATTACHMENT_CUTS],
    ["small files", SMALL_FILE_CUTS],
  ] as const) {
    const cutter = new StreamCutter(new FastCdc(sizes), 0, () => {});
    measure(`FastCDC: ${name}`, bytes.length, () => cutter.push(bytes, true));
  }
  measure("index records", bytes.length, () => {
    for (const _ of chunkIndexRecords({ headerBytes: 160, recordBytes: 112 }, [bytes]));
  });
}
