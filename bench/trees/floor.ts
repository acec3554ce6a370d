/**
 * The least that a repository of a tree could have, near enough: every decoded part, header and text once, alike with
 * alike, through `zstd -19 --long=27`; other files once each. Without any bookkeeping, and useless as a backup.
 */
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { basename, join } from "node:path";
import { splitMessage } from "../../src/chunker/split.ts";
import { type Command, commandText } from "../measure/command.ts";
import { filesBelow } from "../measure/disk.ts";
import { run } from "../measure/run.ts";
import type { FloorFacts } from "../report/result.ts";
import type { Tree } from "./tree.ts";

const STREAMS = ["headers", "texts", "parts", "others"] as const;
type Stream = (typeof STREAMS)[number];
const MESSAGE_FILE = /^\d+\.$/;

/** Kept beside a generated tree. @param scratch - takes as much as the tree, for a while. */
export async function floorOf(tree: Tree, scratch: string): Promise<FloorFacts> {
  const kept = tree.directory === undefined ? undefined : join(tree.directory, "floor.json");
  if (kept !== undefined && existsSync(kept)) return JSON.parse(readFileSync(kept, "utf8"));
  const path = (stream: Stream) => join(scratch, `floor-${stream}`);
  try {
    const { mail, others } = writeUnique(tree, path);
    const mailCommand = compressing([path("headers"), path("texts"), path("parts")]);
    const othersCommand = compressing([path("others")]);
    const facts = {
      mailBytes: mail,
      otherBytes: others,
      mailCompressed: await printedNumber(mailCommand),
      otherCompressed: await printedNumber(othersCommand),
      commands: [commandText(mailCommand), commandText(othersCommand)],
    };
    if (kept !== undefined) writeFileSync(kept, JSON.stringify(facts));
    return facts;
  } finally {
    for (const stream of STREAMS) rmSync(path(stream), { force: true });
  }
}

function writeUnique(tree: Tree, path: (stream: Stream) => string): { mail: number; others: number } {
  const files = new Map(STREAMS.map((stream) => [stream, openSync(path(stream), "w")]));
  const bytes = { mail: 0, others: 0 };
  const seen = new Set<string>();
  const isNew = (content: Uint8Array) => {
    const id = createHash("sha256").update(content).digest("base64");
    if (seen.has(id)) return false;
    seen.add(id);
    return true;
  };
  const write = (stream: Stream, content: Uint8Array) => {
    writeSync(files.get(stream) as number, content);
    bytes[stream === "others" ? "others" : "mail"] += content.length;
  };
  try {
    for (const file of filesBelow(tree.sources.paths)) {
      const content = readFileSync(file.path);
      if (!isNew(content)) continue;
      if (!MESSAGE_FILE.test(basename(file.path))) {
        write("others", content);
        continue;
      }
      const { head, tail, parts } = splitMessage(content);
      write("headers", head);
      write("texts", tail);
      for (const part of parts) if (isNew(part.bytes)) write("parts", part.bytes);
    }
  } finally {
    for (const file of files.values()) closeSync(file);
  }
  return bytes;
}

function compressing(paths: readonly string[]): Command {
  return { argv: ["sh", "-c", `cat ${paths.join(" ")} | zstd -19 --long=27 -T0 -q | wc -c`] };
}

async function printedNumber(command: Command): Promise<number> {
  const { exitCode, stdout, stderr } = await run(command);
  const bytes = Number(stdout.toString("latin1"));
  if (exitCode !== 0 || bytes === 0) throw new Error(`${commandText(command)}: ${exitCode} ${stderr}`);
  return bytes;
}
