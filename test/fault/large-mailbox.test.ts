/**
 * What a day costs in a very large mailbox: one new message, and nothing at all. `CYRVAULT_HEAVY=1`: a mailbox of
 * 100,000 messages, as large as the limits are meant for.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { parseIndexHeader } from "../../src/cyrus/index-reader.ts";
import { generateServer } from "../../src/sample/generate.ts";
import { type BackupResult, runJson } from "../support/cli.ts";
import { tempDir } from "../support/temp-dir.ts";

const MESSAGES = process.env["CYRVAULT_HEAVY"] === "1" ? 125_000 : 20_000;

test("one new message in a large mailbox stores at most 300 KB and opens one file; none, next to nothing", async () => {
  using dir = tempDir();
  const server = generateServer(dir.in("server"), {
    users: 1,
    foldersPerUser: 1,
    messages: MESSAGES,
    attachmentShare: 0,
    textScale: 0.15,
  });
  const env = { CYRVAULT_REPO: dir.in("repository") };
  await runJson(["init", "--no-encryption"], { env });
  const backUp = () => runJson<BackupResult>(["backup", "--config", server.configPath], { env });
  await backUp();
  // What changed within two seconds before a cut is compared by content: let that pass.
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  await backUp();

  const unchanged = await backUp();
  expect(unchanged.messages).toMatchObject({ new: 0, read: 0 });
  expect(unchanged.bytes.stored).toBeLessThanOrEqual(64 * 1024);

  const index = largestIndex(dir.in("server/spool"));
  const records = appendMessage(index);
  expect(records).toBeGreaterThan(MESSAGES / 2);
  const one = await backUp();
  process.stdout.write(`one message more in a mailbox of ${records}: ${one.bytes.stored} bytes stored\n`);
  expect(one.messages).toMatchObject({ new: 1, read: 1, total: unchanged.messages.total + 1 });
  expect(one.bytes.stored).toBeLessThanOrEqual(300_000);
});

function largestIndex(spool: string): string {
  const names = readdirSync(spool, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith("cyrus.index"),
  );
  const [largest] = names
    .map((name) => join(spool, name))
    .sort((a, b) => statSync(b).size - statSync(a).size);
  if (largest === undefined) throw new Error("the server has no mailbox");
  return largest;
}

/** As an append of Cyrus leaves it: a file, a record at the end, the header rewritten. @returns how many records there were. */
function appendMessage(index: string): number {
  const file = readFileSync(index);
  const { headerBytes, recordBytes, recordCount, lastUid, highestModseq } = parseIndexHeader(file);
  const mail = Buffer.from("From: anna@example.org\r\nSubject: one more\r\n\r\nThat is all.\r\n");
  const record = Buffer.from(file.subarray(file.length - recordBytes));
  record.writeUInt32BE(lastUid + 1, 0);
  record.writeUInt32BE(mail.length, 12);
  createHash("sha1").update(mail).digest().copy(record, 60);
  record.writeBigUInt64BE(highestModseq + 1n, 80);
  record.writeUInt32BE(crc32(record.subarray(0, recordBytes - 4)), recordBytes - 4);
  const header = Buffer.from(file.subarray(0, headerBytes));
  header.writeUInt32BE(recordCount + 1, 20);
  header.writeUInt32BE(lastUid + 1, 28);
  header.writeBigUInt64BE(highestModseq + 1n, 68);
  // 0: not computed.
  header.writeUInt32BE(0, 100);
  header.writeUInt32BE(crc32(header.subarray(0, headerBytes - 4)), headerBytes - 4);
  const fd = openSync(index, "r+");
  writeSync(fd, record, 0, recordBytes, file.length);
  writeSync(fd, header, 0, headerBytes, 0);
  closeSync(fd);
  writeFileSync(join(dirname(index), `${lastUid + 1}.`), mail);
  return recordCount;
}
