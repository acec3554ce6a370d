import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseRecord, RecordSource } from "../../../src/cyrus/database-record.ts";

const FIXTURES = new URL("../../fixtures/cyrus/", import.meta.url).pathname;

export function fixture(path: string): Buffer {
  return readFileSync(join(FIXTURES, path));
}

/** The files of the small store written by 3.6.1, by path: `conf/mailboxes.db`. */
export function unpackStore(): Map<string, Buffer> {
  const directory = mkdtempSync(join(tmpdir(), "cyrvault-test-"));
  try {
    execFileSync("tar", ["xzf", join(FIXTURES, "3.6.1/store.tar.gz"), "-C", directory, "--no-same-owner"]);
    const files = new Map<string, Buffer>();
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) files.set(path.slice(directory.length + 1), readFileSync(path));
    }
    return files;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Every twoskip and skiplist file among the fixtures, by path. */
export function databaseFixtures(): Map<string, Buffer> {
  const files = unpackStore();
  for (const entry of readdirSync(FIXTURES, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/(mailboxes\.db|\.conversations|annotations)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(FIXTURES.length), readFileSync(path));
  }
  return files;
}

export function record(key: string, value: string): DatabaseRecord {
  return { key: Buffer.from(key, "latin1"), value: Buffer.from(value, "latin1") };
}

export function pairs(source: Pick<RecordSource, "records">): [string, string][] {
  return [...source.records].map(({ key, value }) => [key.toString("latin1"), value.toString("latin1")]);
}
