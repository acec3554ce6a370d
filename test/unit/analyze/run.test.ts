import { createHash } from "node:crypto";
import { renameSync, symlinkSync, unlinkSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { AnalyzeOptions, AnalyzeResult, StepName } from "../../../src/analyze/options.ts";
import { runAnalyze } from "../../../src/analyze/run.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { mail, sha1, TinyServer } from "../backup/tiny-server.ts";

const DOCUMENT = Buffer.concat(
  Array.from({ length: 700 }, (_, i) => createHash("sha512").update(`document ${i}`).digest()),
);

/** @param lineEnd - of the base64 alone. */
function withDocument(subject: string, lineChars: number, lineEnd: string): Buffer {
  const text = DOCUMENT.toString("base64");
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += lineChars) lines.push(text.slice(at, at + lineChars));
  return Buffer.from(
    [
      `Subject: ${subject}`,
      "MIME-Version: 1.0",
      'Content-Type: multipart/mixed; boundary="b"',
      "",
      "--b",
      "Content-Type: text/plain",
      "",
      subject,
      "--b",
      "Content-Type: application/pdf",
      "Content-Disposition: attachment; filename*=utf-8''%C3%9Cbersicht%1B[31m.pdf",
      "Content-Transfer-Encoding: base64",
      "",
      lines.join(lineEnd),
      "--b--",
      "",
    ].join("\r\n"),
  );
}

let dir: TempDir;
let server: TinyServer;
beforeEach(() => {
  dir = tempDir();
  server = new TinyServer(dir.in("snapshot"));
});
afterEach(() => dir.remove());

async function analyze(options: Partial<AnalyzeOptions> = {}): Promise<AnalyzeResult> {
  return await runAnalyze(
    {
      config: undefined,
      root: fromText(server.root),
      mappings: [],
      compression: "fast",
      share: 1,
      largest: 20,
      ...options,
    },
    { clock: systemClock, progress: new Progress() },
  );
}

function left(result: AnalyzeResult, name: StepName): number {
  return result.steps.find(({ step }) => step === name)?.bytes as number;
}

test("three wrappings of one attachment, a copy and a hard link are counted as what they are", async () => {
  const [wide, narrow, unbroken] = [
    withDocument("one", 76, "\r\n"),
    withDocument("two", 60, "\n"),
    withDocument("three", 1_000_000, ""),
  ] as const;
  const plain = mail("hello");
  const anna = server.add("user.anna", [wide, narrow, plain]);
  const bert = server.add("user.bert", [unbroken, wide]);
  const carl = server.add("user.carl");
  server.copy(anna, 2, carl);
  server.copy(anna, 3, bert);

  const result = await analyze();

  const files = [wide, narrow, plain, unbroken, wide, narrow, plain];
  const total = files.reduce((sum, { length }) => sum + length, 0);
  expect(result).toMatchObject({
    mailboxes: 3,
    messages: 7,
    bytes: total,
    sample: null,
    hardLinks: { count: 2, bytes: narrow.length + plain.length },
    copies: { count: 1, bytes: wide.length },
    differentMessages: {
      count: 4,
      bytes: wide.length + narrow.length + unbroken.length + plain.length,
    },
    attachments: {
      all: { count: 3, bytes: 3 * DOCUMENT.length },
      different: { count: 1, bytes: DOCUMENT.length },
    },
    largest: {
      attachments: [
        {
          name: "Übersicht\u001b[31m.pdf",
          type: "application/pdf",
          bytes: DOCUMENT.length,
          times: 5,
          mailboxes: 3,
        },
      ],
    },
    problems: { missing: 0, withoutGuid: 0, guidMismatch: 0, unreadable: 0 },
  });
  expect(left(result, "source")).toBe(total);
  expect(left(result, "hard-links")).toBe(total - narrow.length - plain.length);
  expect(left(result, "whole-files")).toBe(result.differentMessages.bytes);
  // Wrapped in three ways, the attachment is three different things until it is decoded.
  expect(left(result, "mime-parts")).toBe(result.differentMessages.bytes);
  const encoded = [wide, narrow, unbroken].map(
    ({ length }, i) => length - (withoutDocument(i) as Buffer).length,
  );
  const own = result.differentMessages.bytes - encoded.reduce((sum, bytes) => sum + bytes, 0);
  // A list of pieces, some 10 bytes, goes with each message.
  expect(left(result, "base64") - DOCUMENT.length - own).toBeGreaterThan(0);
  expect(left(result, "base64") - DOCUMENT.length - own).toBeLessThan(60);
  expect(left(result, "large-parts")).toBe(left(result, "base64"));
  expect(left(result, "compression")).toBeLessThan(left(result, "large-parts"));
  expect(left(result, "compression")).toBeGreaterThan(DOCUMENT.length);
});

function withoutDocument(number: number): Buffer {
  const subject = ["one", "two", "three"][number] as string;
  const text = withDocument(subject, 76, "\r\n").toString("latin1");
  const from = text.indexOf("base64\r\n\r\n") + 10;
  return Buffer.from(text.slice(0, from) + text.slice(text.lastIndexOf("\r\n--b--")), "latin1");
}

test("the same attachment in the same wrapping is once from the step of MIME parts on", async () => {
  const mails = ["one", "two"].map((subject) => withDocument(subject, 76, "\r\n"));
  server.add("user.anna", mails);
  const result = await analyze();
  const encodedBytes = (mails[0] as Buffer).length - withoutDocument(0).length;
  const step = result.steps.find(({ step }) => step === "mime-parts");
  expect(step?.saved).toBe(encodedBytes);
});

test("a file that is not what its index says counts as what it is", async () => {
  const anna = server.add("user.anna", ["one", "two", "one"]);
  const [, , third] = anna.messages;
  (third as { guid?: Uint8Array }).guid = sha1(Buffer.from("something else"));
  server.writeIndex(anna);
  const result = await analyze();
  expect(result.problems.guidMismatch).toBe(1);
  expect(result).toMatchObject({ differentMessages: { count: 2 }, copies: { count: 1 } });
});

test("messages without a file or a GUID, and files without a record, are told", async () => {
  const anna = server.add("user.anna", ["one", "two", "three"]);
  (anna.messages[0] as { guid?: Uint8Array }).guid = new Uint8Array(20);
  server.writeIndex(anna);
  unlinkSync(server.message(anna, 2));
  server.file(server.message(anna, 9).slice(server.root.length + 1), mail("one"));
  const result = await analyze();
  expect(result).toMatchObject({ messages: 3, differentMessages: { count: 2 }, copies: { count: 1 } });
  expect(result.problems).toEqual({ missing: 1, withoutGuid: 2, guidMismatch: 0, unreadable: 0 });
});

test("a mailbox behind a symbolic link is looked at, once", async () => {
  const anna = server.add("user.anna", ["one"]);
  renameSync(server.directory(anna), server.path("var/disk2"));
  symlinkSync("/var/disk2", server.directory(anna));
  expect(await analyze()).toMatchObject({ mailboxes: 1, messages: 1 });
});

test("an empty spool is nothing, in a sample too", async () => {
  expect(await analyze()).toMatchObject({ mailboxes: 0, messages: 0, bytes: 0 });
  expect(await analyze({ share: 0.1 })).toMatchObject({ mailboxes: 0, messages: 0, bytes: 0 });
});

test("an interruption is heard", async () => {
  server.add("user.anna", ["one"]);
  const interrupted = AbortSignal.abort(new Error("stop"));
  await expect(
    runAnalyze(
      {
        config: undefined,
        root: fromText(server.root),
        mappings: [],
        compression: "fast",
        share: 1,
        largest: 1,
      },
      { clock: systemClock, progress: new Progress(), signal: interrupted },
    ),
  ).rejects.toThrow("stop");
});
