import { hash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { splitMessage } from "../../../src/chunker/split.ts";
import { generateServer } from "../../../src/sample/generate.ts";
import { chancesOf } from "../../../src/sample/repetition.ts";
import type { SampleParameters } from "../../../src/sample/sample-server.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { messagePaths } from "./sample-files.ts";

const PARAMETERS: Partial<SampleParameters> = {
  users: 8,
  foldersPerUser: 6,
  messages: 500,
  documentScale: 0.01,
  textScale: 0.2,
};

interface Found {
  /** Shares of the bytes of decoded parts: in files that equal another one, and in other files. */
  readonly wholeFile: number;
  readonly otherFile: number;
  /** Of all names of files. */
  readonly linked: number;
}

/** Looks only at the files. */
function repetitionIn(paths: readonly string[]): Found {
  const inodes = new Set<number>();
  const files = new Set<string>();
  const parts = new Set<string>();
  let [total, wholeFile, otherFile, names] = [0, 0, 0, 0];
  for (const path of paths) {
    names++;
    const { ino } = statSync(path);
    if (inodes.has(ino)) continue;
    inodes.add(ino);
    const content = readFileSync(path);
    const id = hash("sha1", content);
    for (const { bytes } of splitMessage(content).parts) {
      const part = hash("sha1", bytes);
      total += bytes.length;
      if (files.has(id)) wholeFile += bytes.length;
      else if (parts.has(part)) otherFile += bytes.length;
      parts.add(part);
    }
    files.add(id);
  }
  return {
    wholeFile: wholeFile / total,
    otherFile: otherFile / total,
    linked: (names - inodes.size) / names,
  };
}

function found(parameters: Partial<SampleParameters>): Found {
  using directory = tempDir();
  return repetitionIn(messagePaths(generateServer(directory.path, { ...PARAMETERS, ...parameters })));
}

describe("a sample server", () => {
  test("repeats about as much as is asked for, most of it in messages that differ", () => {
    const { wholeFile, otherFile, linked } = found({});
    // Attachments alone: they repeat more than texts do.
    expect(wholeFile + otherFile).toBeGreaterThan(0.4);
    expect(wholeFile + otherFile).toBeLessThan(0.75);
    expect(wholeFile).toBeGreaterThan(0);
    expect(wholeFile).toBeLessThan(0.12);
    expect(linked).toBeGreaterThan(0.03);
  });

  test("can repeat whole files instead", () => {
    const { wholeFile, otherFile } = found({ wholeFileShare: 1, copyShare: 0 });
    expect(wholeFile).toBeGreaterThan(0.3);
    expect(wholeFile).toBeGreaterThan(otherFile * 3);
  });

  test("repeats nothing and links nothing where that is asked for", () => {
    expect(found({ repetition: 0 })).toEqual({ wholeFile: 0, otherFile: 0, linked: 0 });
    expect(found({ linkedShare: 0 }).linked).toBe(0);
  });

  test("counts itself what its files show", () => {
    using directory = tempDir();
    const server = generateServer(directory.path, {
      ...PARAMETERS,
      documentScale: 0.03,
      attachmentShare: 0.95,
    });
    const { total, wholeFile, copy, other } = server.state.repeated;
    const seen = repetitionIn(messagePaths(server));
    const counted = (wholeFile + copy + other) / total;
    expect(Math.abs(seen.wholeFile - wholeFile / total)).toBeLessThan(0.05);
    expect(Math.abs(seen.wholeFile + seen.otherFile - counted)).toBeLessThan(0.1);
  });
});

describe("chancesOf()", () => {
  const parameters: SampleParameters = {
    seed: 1,
    users: 1,
    foldersPerUser: 1,
    messages: 1,
    layout: "uuid",
    startMs: 0,
    days: 1,
    attachmentShare: 0.9,
    repetition: 0.5,
    wholeFileShare: 0.1,
    copyShare: 0.6,
    linkedShare: 0.25,
    documentScale: 1,
    textScale: 1,
    headerForm: "dlist",
  };

  test("raises what is behind and lowers what is ahead", () => {
    const level = chancesOf(parameters, { total: 100, wholeFile: 5, copy: 30, other: 15 });
    const uneven = chancesOf(parameters, { total: 100, wholeFile: 2, copy: 40, other: 15 });
    expect(uneven.whole).toBeGreaterThan(level.whole);
    expect(uneven.copy).toBeLessThan(level.copy);
    expect(uneven.document).toBeCloseTo(level.document);
  });

  test("never asks for more than all", () => {
    const behind = chancesOf(
      { ...parameters, repetition: 0.95 },
      { total: 100, wholeFile: 0, copy: 0, other: 0 },
    );
    expect(behind.linked + behind.whole + behind.copy).toBeLessThanOrEqual(1.1);
    expect(behind.document).toBeLessThanOrEqual(1);
  });
});
