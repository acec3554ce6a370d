/** What a page of the documentation tells people to type. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const PROJECT: string = join(import.meta.dirname, "../..");

export interface Block {
  readonly language: string;
  readonly text: string;
  /** Of its first line, from 1. */
  readonly line: number;
}

export function pageText(name: string): string {
  return readFileSync(join(PROJECT, name), "utf8");
}

/** Fenced blocks, in their order. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  let open: { readonly language: string; readonly lines: string[]; readonly line: number } | undefined;
  for (const [i, line] of page.split("\n").entries()) {
    const fence = /^```(\w*)$/.exec(line);
    if (fence === null) open?.lines.push(line);
    else if (open === undefined) open = { language: fence[1] ?? "", lines: [], line: i + 2 };
    else {
      blocks.push({ language: open.language, text: open.lines.join("\n"), line: open.line });
      open = undefined;
    }
  }
  return blocks;
}

/** Commands between backquotes, in the text and in tables. */
export function inlineCommands(page: string): string[] {
  const outside = page.replace(/^```[\s\S]*?^```$/gm, "");
  return [...outside.matchAll(/`(cyrvault [^`]+)`/g)].map(([, command]) => command as string);
}
