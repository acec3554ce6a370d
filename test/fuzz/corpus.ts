/** Inputs that a parser once stumbled over, kept for ever: corpus/TARGET/NAME. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FuzzFailure } from "./fuzz.ts";

const CORPUS = join(import.meta.dirname, "corpus");

/** @returns where. */
export function saveFailure({ target, input }: FuzzFailure): string {
  const directory = join(CORPUS, target);
  mkdirSync(directory, { recursive: true });
  const path = join(directory, createHash("sha256").update(input).digest("hex").slice(0, 16));
  writeFileSync(path, input);
  return path;
}

export interface CorpusEntry {
  readonly target: string;
  readonly name: string;
  readonly input: Buffer;
}

export function readCorpus(): CorpusEntry[] {
  if (!existsSync(CORPUS)) return [];
  return readdirSync(CORPUS).flatMap((target) =>
    readdirSync(join(CORPUS, target)).map((name) => ({
      target,
      name,
      input: readFileSync(join(CORPUS, target, name)),
    })),
  );
}
