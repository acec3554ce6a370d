/**
 * Reading files of 20 KB that the kernel has in memory: `npx tsx bench/micro/read.ts [--json FILE]`. As the pipeline does it
 * (synchronous, statistics before and after), and by node:fs/promises, 16 at a time, as a main thread would. MB per second of
 * processor time, all threads together.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromText } from "../../src/base/byte-string.ts";
import { SourceFile } from "../../src/source/read-file.ts";
import { compare, noise } from "./compare.ts";

const FILES = 500;
const FILE_BYTES = 20_000;
const AT_ONCE = 16;

const directory = mkdtempSync(join(tmpdir(), "cyrvault-read-"));
try {
  const paths = Array.from({ length: FILES }, (_, i) => join(directory, `${i + 1}.`));
  for (const path of paths) writeFileSync(path, noise(FILE_BYTES));
  const sources = paths.map(fromText);
  const buffer = Buffer.alloc(FILE_BYTES);
  const bytes = FILES * FILE_BYTES;
  await compare([
    {
      name: "SourceFile, into one buffer",
      bytes,
      work: () => {
        for (const path of sources) {
          const source = SourceFile.open(path);
          source?.readInto(buffer, 0);
          source?.statAgain();
          source?.close();
        }
      },
    },
    {
      name: "readFileSync",
      bytes,
      work: () => {
        for (const path of paths) readFileSync(path);
      },
    },
    {
      name: `fs.promises.readFile, ${AT_ONCE} at a time`,
      bytes,
      work: async () => {
        for (let at = 0; at < paths.length; at += AT_ONCE)
          await Promise.all(paths.slice(at, at + AT_ONCE).map((path) => readFile(path)));
      },
    },
  ]);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
