import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ByteString } from "../../../src/base/byte-string.ts";
import { AcceptRules, formatAcceptRule, parseAcceptRule } from "../../../src/manifest/accept-rules.ts";
import type { Finding } from "../../../src/manifest/finding.ts";
import { findingPages } from "../../../src/manifest/finding-page.ts";
import { FindingLog, type FindingLogOptions } from "../../../src/manifest/findings.ts";
import { readPageTree } from "../../../src/manifest/read-page-tree.ts";
import { bytesOf, collect, findings, MemoryPages } from "./support.ts";

let temporary = "";
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), "cyrvault-test-"));
});
afterEach(() => rmSync(temporary, { recursive: true }));

function fill(log: FindingLog, list: readonly Finding[]): void {
  for (const { code, severity, path, message, mailbox, uid } of list)
    log.add(code, severity, path, message, {
      ...(mailbox === undefined ? {} : { mailbox }),
      ...(uid === undefined ? {} : { uid }),
    });
}

async function run(pages: MemoryPages, list: readonly Finding[], options: Partial<FindingLogOptions> = {}) {
  const log = new FindingLog({ nowMs: 1000, temporary, ...options });
  fill(log, list);
  const summary = await log.finish(pages);
  return { ...summary, findings: await collect(readPageTree(summary.tree, pages, findingPages)) };
}

const lists = fc.array(findings, { maxLength: 60, size: "max" });

describe("a finding log", () => {
  test("keeps each finding once, errors first, the same with and without files put aside", async () => {
    await fc.assert(
      fc.asyncProperty(lists, fc.integer({ min: 1, max: 9 }), async (list, held) => {
        const pages = new MemoryPages();
        const inMemory = await run(pages, list);
        const aside = await run(pages, list, { held });
        expect(aside.findings).toEqual(inMemory.findings);
        expect(aside.tree).toEqual(inMemory.tree);
        const keys = inMemory.findings.map(findingPages.key);
        expect(keys).toEqual([...new Set(list.map(findingPages.key))].sort());
        const { note, warning, error, accepted } = inMemory.counts;
        expect(note + warning + error + accepted).toBe(inMemory.tree.entries);
        const rank = inMemory.findings.map(({ severity }) => ["error", "warning", "note"].indexOf(severity));
        expect(rank).toEqual(rank.toSorted());
      }),
      { numRuns: 40 },
    );
  });

  test("leaves nothing in the temporary directory, also when it is given up", async () => {
    const pages = new MemoryPages();
    const list = fc.sample(findings, 50);
    await run(pages, list, { held: 5 });
    expect(readdirSync(temporary)).toEqual([]);
    const log = new FindingLog({ nowMs: 1, temporary, held: 1 });
    fill(log, list);
    expect(readdirSync(temporary)).toHaveLength(1);
    log.discard();
    expect(readdirSync(temporary)).toEqual([]);
    const failing = new FindingLog({ nowMs: 1, temporary, held: 1 });
    fill(failing, list);
    await expect(failing.finish({ put: () => Promise.reject(new Error("full")) })).rejects.toThrow("full");
    expect(readdirSync(temporary)).toEqual([]);
  });

  test("says so when nothing can be put aside", () => {
    const log = new FindingLog({ nowMs: 1, temporary: join(temporary, "absent"), held: 1 });
    expect(existsSync(join(temporary, "absent"))).toBe(false);
    expect(() => log.add("file-vanished", "note", bytesOf("/a"), "")).toThrow(
      expect.objectContaining({ code: "IO" }),
    );
  });

  test("knows findings again by code, path and UID, whatever their wording and severity", async () => {
    const pages = new MemoryPages();
    const path = bytesOf("/spool/1.");
    const first = new FindingLog({ nowMs: 1000, temporary });
    first.add("message-missing", "warning", path, "not there", { uid: 1 });
    first.add("message-missing", "warning", path, "not there", { uid: 3 });
    first.add("file-changed", "note", path, "changed");
    const earlier = { tree: (await first.finish(pages)).tree, source: pages };
    const second = new FindingLog({ nowMs: 2000, temporary });
    second.add("message-missing", "error", path, "still not there", { uid: 1 });
    second.add("message-missing", "warning", path, "not there", { uid: 2 });
    second.add("message-missing", "warning", path, "not there", { uid: 3 });
    second.add("file-vanished", "note", path, "gone");
    const { tree } = await second.finish(pages, earlier);
    const since = (await collect(readPageTree(tree, pages, findingPages))).map(({ code, uid, sinceMs }) => [
      code,
      uid,
      sinceMs,
    ]);
    expect(since).toEqual([
      ["message-missing", 1, 1000],
      ["message-missing", 2, 2000],
      ["message-missing", 3, 1000],
      ["file-vanished", undefined, 2000],
    ]);
  });

  test("carries since over for every finding that was there, and for no other", async () => {
    await fc.assert(
      fc.asyncProperty(lists, lists, async (before, now) => {
        const pages = new MemoryPages();
        const earlier = { tree: (await run(pages, before)).tree, source: pages };
        const log = new FindingLog({ nowMs: 2000, temporary });
        fill(log, now);
        const { tree } = await log.finish(pages, earlier);
        const subject = ({ code, path, uid }: Finding) => `${code} ${path} ${uid}`;
        const known = new Set(before.map(subject));
        for (const finding of await collect(readPageTree(tree, pages, findingPages)))
          expect(finding.sinceMs).toBe(known.has(subject(finding)) ? 1000 : 2000);
      }),
      { numRuns: 40 },
    );
  });

  test("counts what was accepted apart, and calls the run incomplete only for the rest", async () => {
    const log = new FindingLog({ nowMs: 1, temporary, acceptRules: ["guid-absent", "file-unreadable:/a"] });
    expect(log.add("guid-absent", "error", bytesOf("/x"), "").accepted).toBe(true);
    expect(log.add("file-unreadable", "error", bytesOf("/a/b"), "").accepted).toBe(true);
    expect(log.hasUnacceptedErrors).toBe(false);
    log.add("file-unreadable", "error", bytesOf("/ab"), "");
    log.add("file-unreadable", "error", bytesOf("/ab"), "");
    log.add("file-vanished", "note", bytesOf("/ab"), "");
    expect(log.hasUnacceptedErrors).toBe(true);
    expect((await log.finish(new MemoryPages())).counts).toEqual({
      note: 1,
      warning: 0,
      error: 1,
      accepted: 2,
    });
  });

  test("cuts a message that is too long", async () => {
    const pages = new MemoryPages();
    const log = new FindingLog({ nowMs: 1, temporary });
    log.add("file-changed", "note", bytesOf("/a"), "é".repeat(100_000));
    const { tree } = await log.finish(pages);
    expect((await collect(readPageTree(tree, pages, findingPages)))[0]?.message).toHaveLength(2000);
  });
});

describe("rules for accepting findings", () => {
  const accepts = (rule: string, path: string, mailbox?: string) =>
    new AcceptRules([rule]).accepts({
      code: "file-unreadable",
      path: path as ByteString,
      ...(mailbox === undefined ? {} : { mailbox: bytesOf(mailbox) }),
    });

  test.each([
    ["file-unreadable", "/any", true],
    ["file-vanished", "/any", false],
    ["file-unreadable:/a", "/a", true],
    ["file-unreadable:/a", "/a/b/c", true],
    ["file-unreadable:/a/", "/a/b", true],
    ["file-unreadable:/", "/a/b", true],
    ["file-unreadable:/a", "/ab", false],
    ["file-unreadable:/a/b", "/a", false],
    ["file-vanished:/a", "/a", false],
    ["file-unreadable:/a:b", "/a:b", true],
    ["file-unreadable:/a\\xff", "/a\xff", true],
  ])("%s for %s: %s", (rule, path, expected) => {
    expect(accepts(rule, path)).toBe(expected);
  });

  test("name a mailbox too", () => {
    expect(accepts("file-unreadable:user.ännä", "/x", "user.ännä")).toBe(true);
    expect(accepts("file-unreadable:user.other", "/x", "user.ännä")).toBe(false);
  });

  test.each(["guid-absent", "guid-absent:/a:b"])("%s is read and written alike", (text) => {
    expect(formatAcceptRule(parseAcceptRule(text))).toBe(text);
  });

  test.each(["", ":/a", "guid-absent:", "Guid", "guid absent", "guid-mismatch"])("«%s» is none", (text) => {
    expect(() => parseAcceptRule(text)).toThrow(expect.objectContaining({ code: "USAGE" }));
  });
});
