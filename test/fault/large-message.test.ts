/**
 * Messages far larger than what is held in memory go through in stretches: they come back byte for byte, and memory does
 * not grow with them. `CYRVAULT_HEAVY=1`: 400 MB, too.
 */
import { createCipheriv, createHash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { BackupResult, CheckResult, RestoreResult } from "../support/cli.ts";
import { inMiB, type Measured, MIB, measureJson } from "../support/memory-peak.ts";
import { tempDir } from "../support/temp-dir.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
import { TinyServer } from "../unit/backup/tiny-server.ts";

const HEAVY = process.env["CYRVAULT_HEAVY"] === "1";
/** Over a run with the least of large messages: what all of them take at once is in both. */
const GROWTH_MAX = 32 * MIB;
/** Beyond the 16 MiB up to which a restore holds a message. */
const LEAST_MB = 20;
/** Of a run with it. */
const LEAST_PEAK_MAX = 192 * MIB;
/** A peak is off to one side only: dead buffers that V8 has not looked for yet come on top of what is in use. */
const TRIES = 3;
const COMMANDS = ["backup", "check", "restore"] as const;
const SIZES_MB = HEAVY ? [30, 100, 400] : [30, 100];
const KINDS = ["base64", "one line"] as const;
/** What a run without large messages has in any case: caches that are full, blocks and batches under way. */
const ORDINARY = 160;
const ORDINARY_BYTES = 500_000;

interface Peaks {
  readonly backup: number;
  readonly check: number;
  readonly restore: number;
}

const least = new Map<string, Peaks>();
/** The same for all servers. */
let ordinary: readonly Buffer[];

/** The body has no two stretches alike, and no line ends of its own where it is one line. */
function* largeMail(seed: number, bytes: number, kind: (typeof KINDS)[number]): Generator<Buffer> {
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16, seed % 251), Buffer.alloc(16, seed >> 8));
  const lines = [
    "From: a@example.com",
    `Subject: number ${seed}`,
    "MIME-Version: 1.0",
    'Content-Type: multipart/mixed; boundary="b"',
    "",
    "--b",
    "Content-Type: application/octet-stream",
    `Content-Transfer-Encoding: ${kind === "base64" ? "base64" : "8bit"}`,
    "",
    "",
  ];
  yield Buffer.from(lines.join("\r\n"));
  for (let made = 0; made < bytes; ) {
    const stretch = noise.update(Buffer.alloc(57 * 2048));
    const text =
      kind === "base64"
        ? Buffer.from(stretch.toString("base64").replace(/.{76}/g, "$&\r\n"))
        : Buffer.from(stretch.map((byte) => (byte === 10 || byte === 13 ? 32 : byte)));
    made += text.length;
    yield text;
  }
  yield Buffer.from("\r\n--b--\r\n");
}

function writeLarge(path: string, stretches: Iterable<Buffer>): { size: number; guid: Buffer } {
  const fd = openSync(path, "w");
  const sha1 = createHash("sha1");
  let size = 0;
  for (const bytes of stretches) {
    writeSync(fd, bytes);
    sha1.update(bytes);
    size += bytes.length;
  }
  closeSync(fd);
  return { size, guid: sha1.digest() };
}

/** Backs up, checks and restores a server with such a message; each is compared with the source. */
async function peaksWith(large: { megabytes: number; kind: (typeof KINDS)[number] }): Promise<Peaks> {
  using dir = tempDir();
  const server = new TinyServer(dir.in("server"));
  const mailbox = server.add("user.anna", ordinary);
  const uid = ORDINARY + 1;
  const stretches = largeMail(uid, large.megabytes * 1_000_000, large.kind);
  const { size, guid } = writeLarge(server.message(mailbox, uid), stretches);
  mailbox.messages.push({ uid, bytes: Buffer.alloc(0), flagWord: 0, size, guid });
  server.writeIndex(mailbox);
  // Without a password: deriving a key from one would take more memory than all the rest.
  const env = { CYRVAULT_REPO: dir.in("repository") };
  await measureJson(["init", "--no-encryption"], { env });
  const backup = await measureJson<BackupResult>(["backup", "--root", server.root], { env });
  expect(backup.result.findings).toEqual([]);
  expect(backup.result.messages.read).toBe(ORDINARY + 1);
  const check = await measureJson<CheckResult>(["check", "--read-data"], { env });
  expect(check.result.errors).toEqual([]);
  const target = dir.in("restored");
  const restore = await measureJson<RestoreResult>(["restore", "latest", "--target", target], { env });
  const spool = "var/spool/cyrus";
  expect(compareTrees(readTree(server.path(spool)), readTree(join(target, spool)))).toEqual([]);
  const peaks = { backup: backup.peakBytes, check: check.peakBytes, restore: restore.peakBytes };
  const title = `${large.megabytes} MB, ${large.kind}`;
  const times = [backup, check, restore].map(({ seconds }: Measured<unknown>) => `${seconds.toFixed(1)} s`);
  process.stdout.write(
    `${title}: backup ${inMiB(peaks.backup)}, check ${inMiB(peaks.check)}, restore ${inMiB(peaks.restore)}; ${times.join(", ")}\n`,
  );
  return peaks;
}

beforeAll(async () => {
  ordinary = Array.from({ length: ORDINARY }, (_, i) =>
    Buffer.concat([...largeMail(i + 1, ORDINARY_BYTES, "base64")]),
  );
  for (const kind of KINDS) {
    const peaks = await peaksWith({ megabytes: LEAST_MB, kind });
    for (const command of COMMANDS) expect(peaks[command], command).toBeLessThan(LEAST_PEAK_MAX);
    least.set(kind, peaks);
  }
});

test.each(SIZES_MB.flatMap((megabytes) => KINDS.map((kind) => ({ megabytes, kind }))))(
  "$megabytes MB, $kind, comes back, and memory does not grow with it",
  async (large) => {
    const growth = { backup: Infinity, check: Infinity, restore: Infinity };
    const hasGrown = () => COMMANDS.some((command) => growth[command] > GROWTH_MAX);
    for (let tries = 0; tries < TRIES && hasGrown(); tries++) {
      const peaks = await peaksWith(large);
      for (const command of COMMANDS)
        growth[command] = Math.min(
          growth[command],
          peaks[command] - (least.get(large.kind) as Peaks)[command],
        );
    }
    for (const command of COMMANDS) expect(growth[command], command).toBeLessThanOrEqual(GROWTH_MAX);
  },
);
