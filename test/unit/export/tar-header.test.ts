import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { paddingAfter, paxRecord, type TarEntry, tarHeader } from "../../../src/export/tar-header.ts";
import { TarWriter } from "../../../src/export/tar-writer.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { readTree } from "../../support/tree-compare.ts";

function entry(fields: Partial<TarEntry>): TarEntry {
  return {
    path: "a" as ByteString,
    type: "file",
    mode: 0o600,
    uid: 1,
    gid: 2,
    user: "cyrus",
    group: "mail",
    size: 0,
    mtimeNs: 5_000_000_000n,
    ...fields,
  };
}

/** The records before the last block, by name. */
function recordsOf(header: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  if (header.length === 512) return records;
  const size = Number.parseInt(header.toString("latin1", 124, 135), 8);
  for (let at = 512; at < 512 + size; ) {
    const [, digits = ""] = /^(\d+) /.exec(header.toString("latin1", at, at + 20)) ?? [];
    const text = header.toString("latin1", at + digits.length + 1, at + Number(digits));
    expect(text.endsWith("\n")).toBe(true);
    records.set(text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1, -1));
    at += Number(digits);
  }
  return records;
}

function checksumsAreRight(header: Buffer): boolean {
  const blocks = header.length === 512 ? [0] : [0, header.length - 512];
  return blocks.every((at) => {
    const block = Buffer.from(header.subarray(at, at + 512));
    const said = Number.parseInt(block.toString("latin1", 148, 154), 8);
    block.fill(0x20, 148, 156);
    return block.reduce((sum, byte) => sum + byte, 0) === said;
  });
}

async function archiveOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  const tar = new TarWriter(async (bytes) => void parts.push(Buffer.from(bytes)));
  for (const one of entries) {
    await tar.begin(one);
    if (one.size > 0) await tar.content(Buffer.alloc(one.size, "x"));
    await tar.finishEntry(one.size);
  }
  await tar.end();
  return Buffer.concat(parts);
}

test("what ustar has room for is one block", () => {
  const header = tarHeader(entry({ path: "var/spool/1." as ByteString, size: 10 }));
  expect(header).toHaveLength(512);
  expect(header.toString("latin1", 0, 13)).toBe("var/spool/1.\0");
  expect(header.toString("latin1", 100, 148)).toBe(
    "0000600\x000000001\x000000002\x0000000000012\x0000000000005\0",
  );
  expect(header.toString("latin1", 156, 157)).toBe("0");
  expect(header.toString("latin1", 257, 271)).toBe("ustar\x0000cyrus\0");
  expect(checksumsAreRight(header)).toBe(true);
});

test.each([
  ["a size of 8 GiB and more", { size: 8 * 1024 ** 3 }, { size: "8589934592" }],
  ["the largest size that fits", { size: 8 * 1024 ** 3 - 1 }, {}],
  ["a user of more than 21 bits", { uid: 2 ** 21 }, { uid: "2097152" }],
  ["a group of more than 21 bits", { gid: 2 ** 32 - 2 }, { gid: "4294967294" }],
  ["nanoseconds", { mtimeNs: 5_000_000_001n }, { mtime: "5.000000001" }],
  ["a time before 1970", { mtimeNs: -1_500_000_000n }, { mtime: "-1.500000000" }],
  ["a time after 2242", { mtimeNs: 8_589_934_592_000_000_000n }, { mtime: "8589934592" }],
  ["a name of 101 bytes", { path: "n".repeat(101) as ByteString }, { path: "n".repeat(101) }],
  ["a name of 100 bytes", { path: "n".repeat(100) as ByteString }, {}],
  [
    "a directory whose slash is the 101st byte",
    { type: "directory", path: "n".repeat(100) as ByteString },
    { path: `${"n".repeat(100)}/` },
  ],
  [
    "a name of 255 bytes and more",
    { path: `${"d".repeat(255)}/${"n".repeat(255)}` as ByteString },
    { path: `${"d".repeat(255)}/${"n".repeat(255)}` },
  ],
  ["a name in UTF-8", { path: fromText("Entwürfe") }, { path: fromText("Entwürfe") }],
  [
    "a name in no UTF-8",
    { path: "Entw\xfcrfe" as ByteString },
    { hdrcharset: "BINARY", path: "Entw\xfcrfe" },
  ],
  [
    "a link to a name in no UTF-8",
    { type: "symlink", link: "\xff" as ByteString },
    { hdrcharset: "BINARY", linkpath: "\xff" },
  ],
  ["the name of a user that is long", { user: "u".repeat(40) }, { uname: "u".repeat(40) }],
] as const)("%s", (_, fields, records) => {
  const header = tarHeader(entry(fields as Partial<TarEntry>));
  expect(Object.fromEntries(recordsOf(header))).toEqual(records);
  expect(header.length % 512).toBe(0);
  expect(checksumsAreRight(header)).toBe(true);
});

test("a record's length counts its own digits", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z]{1,12}$/), fc.uint8Array({ maxLength: 1100 }), (key, value) => {
      const record = paxRecord(key, Buffer.from(value));
      const [, digits] = /^(\d+) /.exec(record.toString("latin1")) ?? [];
      expect(Number(digits)).toBe(record.length);
      expect(record.subarray(-value.length - 1, -1)).toEqual(Buffer.from(value));
    }),
  );
});

test("any entry has whole blocks and right checksums", () => {
  const name = fc
    .uint8Array({ minLength: 1, maxLength: 600 })
    .map((bytes) => Buffer.from(bytes).toString("latin1").replaceAll("\0", "x") as ByteString);
  fc.assert(
    fc.property(
      name,
      fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
      fc.maxSafeNat(),
      (path, mtimeNs, size) => {
        const header = tarHeader(entry({ path, mtimeNs, size }));
        expect(header.length % 512).toBe(0);
        expect(checksumsAreRight(header)).toBe(true);
        expect(recordsOf(header).get("path") ?? path).toBe(path);
      },
    ),
  );
});

test.each([
  [0, 0],
  [1, 511],
  [512, 0],
  [513, 511],
])("after %i bytes come %i zeros", (bytes, zeros) => {
  expect(paddingAfter(bytes)).toBe(zeros);
});

test("an archive is a number of records of 10 KiB, and GNU tar reads names of any bytes from it", async () => {
  using dir = tempDir();
  const paths = [
    "Entw\xfcrfe",
    fromText("Entwürfe"),
    "n".repeat(255),
    `${"d".repeat(200)}/${"e".repeat(200)}`,
  ];
  const archive = await archiveOf(
    paths.map((path, i) =>
      entry({ path: path as ByteString, size: 700 * i, mtimeNs: BigInt(i) * 10n ** 9n + 7n }),
    ),
  );
  expect(archive.length % 10_240).toBe(0);
  mkdirSync(dir.in("out"));
  execFileSync("tar", ["-x", "--warning=no-unknown-keyword", "--no-same-owner", "-C", dir.in("out")], {
    input: archive,
  });
  const tree = readTree(dir.in("out"));
  for (const [i, path] of paths.entries())
    expect(tree.get(path)).toMatchObject({ sizeBytes: 700 * i, mtimeNs: BigInt(i) * 10n ** 9n + 7n });
});

test("an archive that ends early is one that GNU tar complains of", async () => {
  const archive = await archiveOf([entry({ size: 100_000 })]);
  expect(() =>
    execFileSync("tar", ["-t", "--warning=no-unknown-keyword"], {
      input: archive.subarray(0, 50_000),
      stdio: "pipe",
    }),
  ).toThrow(/Unexpected EOF/);
});

test("more or less content than the header says is a bug", async () => {
  const tar = new TarWriter(async () => undefined);
  await tar.begin(entry({ size: 3 }));
  await expect(tar.content(Buffer.alloc(4))).rejects.toThrow("more content");
  await expect(tar.finishEntry(3)).rejects.toThrow("less content");
  await expect(tar.end()).rejects.toThrow("within an entry");
});
