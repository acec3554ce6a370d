import { statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { advanceServer, type DayCounts } from "../../../src/sample/advance.ts";
import { generateServer } from "../../../src/sample/generate.ts";
import type { SampleLayout } from "../../../src/sample/layout.ts";
import { SampleServer } from "../../../src/sample/sample-server.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { messagePaths, readMailbox, readTree } from "./sample-files.ts";

const SMALL = { users: 6, foldersPerUser: 13, messages: 250, documentScale: 0.02 };

describe.each<SampleLayout>(["uuid", "legacy"])("days on a sample server in the %s layout", (layout) => {
  test("leave every mailbox valid, and have one of everything", () => {
    using directory = tempDir();
    generateServer(directory.path, { ...SMALL, layout });
    const sums: Record<string, number> = {};
    for (let day = 1; day <= 5; day++) {
      const server = SampleServer.open(directory.path);
      const counts = advanceServer(server, { day, share: 0.4 });
      for (const [what, count] of Object.entries(counts)) sums[what] = (sums[what] ?? 0) + count;
      const problems = server.state.mailboxes.flatMap((mailbox) => readMailbox(server, mailbox).problems);
      expect(problems, `day ${day}`).toEqual([]);
    }
    const missing = Object.entries(sums).filter(([, count]) => count === 0);
    expect(missing).toEqual([]);
  });

  test("touch no other mailboxes than they say", () => {
    using directory = tempDir();
    const server = generateServer(directory.path, { ...SMALL, layout });
    const before = readTree(directory.path);
    const { mailboxesTouched } = advanceServer(server, { day: 1, share: 0.05 });
    const changed = [...readTree(directory.path)].filter(([path, content]) => before.get(path) !== content);
    const indexes = changed.filter(([path]) => path.endsWith("/cyrus.index"));
    expect(indexes.length).toBe(mailboxesTouched);
    expect(mailboxesTouched).toBe(Math.round(server.counts.mailboxes * 0.05));
  });
});

test("the same day comes out the same, in one process or in two", () => {
  using directory = tempDir();
  const day = (name: string, reopen: boolean): DayCounts => {
    const made = generateServer(directory.in(name), { ...SMALL, pathPrefix: "" });
    const server = reopen ? SampleServer.open(directory.in(name)) : made;
    return advanceServer(server, { day: 1, share: 0.3 });
  };
  expect(day("one", false)).toEqual(day("two", true));
  const trees = ["one", "two"].map((name) => readTree(directory.in(name)));
  for (const tree of trees) tree.delete("/sample-state.json");
  expect(trees[0]).toEqual(trees[1]);
});

test("a copied message is a second name of the same file", () => {
  using directory = tempDir();
  const server = generateServer(directory.path, { ...SMALL, repetition: 0 });
  let copied = 0;
  for (let day = 1; copied === 0; day++) copied += advanceServer(server, { day, share: 0.5 }).copied;
  const linked = messagePaths(server).filter((path) => statSync(path).nlink > 1);
  expect(linked.length).toBeGreaterThanOrEqual(2);
});

test("a day out of order is refused", () => {
  using directory = tempDir();
  const server = generateServer(directory.path, { ...SMALL, messages: 10 });
  expect(() => advanceServer(server, { day: 2, share: 0.1 })).toThrow(RangeError);
});
