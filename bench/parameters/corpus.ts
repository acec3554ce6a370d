/** Message files below a directory, each content once, in the order in which a backup reads them. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface CorpusBatch {
  readonly messages: readonly Buffer[];
}

export interface CorpusFacts {
  files: number;
  bytes: number;
  messages: number;
  messageBytes: number;
}

/** `1.`, `2.` … as Cyrus names them, and `*.eml`. */
const MESSAGE_NAME = /^(?:\d+\.|.*\.eml)$/;
const BATCH_BYTES = 8_000_000;

/** @param facts - counted on the way: `files` and `bytes` with repeated files, the others without. */
export function* readCorpus(directory: string, bytesMax: number, facts: CorpusFacts): Generator<CorpusBatch> {
  const seen = new Set<string>();
  let messages: Buffer[] = [];
  let batchBytes = 0;
  for (const path of messageFiles(directory)) {
    if (facts.bytes >= bytesMax) break;
    const bytes = readFileSync(path);
    facts.files++;
    facts.bytes += bytes.length;
    const id = createHash("sha256").update(bytes).digest("base64");
    if (seen.has(id)) continue;
    seen.add(id);
    facts.messages++;
    facts.messageBytes += bytes.length;
    messages.push(bytes);
    batchBytes += bytes.length;
    if (batchBytes < BATCH_BYTES) continue;
    yield { messages };
    messages = [];
    batchBytes = 0;
  }
  if (messages.length > 0) yield { messages };
}

function* messageFiles(directory: string): Generator<string> {
  const entries = readdirSync(directory, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile() && MESSAGE_NAME.test(entry.name));
  for (const { name } of names.sort((a, b) => Number.parseInt(a.name, 10) - Number.parseInt(b.name, 10)))
    yield join(directory, name);
  for (const { name } of entries.filter((entry) => entry.isDirectory()).sort(byName))
    yield* messageFiles(join(directory, name));
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}
