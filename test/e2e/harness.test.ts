import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { CyrusServer, type Layout } from "../support/cyrus-server.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { ImapClient } from "../support/imap-client.ts";
import { fillServer, moreMail } from "../support/scenario.ts";
import { countMessages, viewServer } from "../support/server-view.ts";
import { compareTrees, readTree, type Tree } from "../support/tree-compare.ts";
import { makeWorkspace } from "../support/workspace.ts";

const LAYOUTS: readonly Layout[] = ["uuid", "legacy"];

describeWithCyrus("what the end-to-end tests stand on", () => {
  test.each(LAYOUTS)(
    "a stopped %s server, copied and started elsewhere, looks the same to clients",
    async (layout) => {
      const workspace = makeWorkspace();
      const server = await CyrusServer.create(join(workspace, "original"), { layout });
      onTestFinished(() => server.stop());
      await server.start();
      const { users } = await fillServer(server);
      const view = await viewServer(server, users);
      expect(countMessages(view)).toBeGreaterThan(80);
      await server.stop();

      await server.start();
      expect(await viewServer(server, users), "after a restart").toEqual(view);
      await server.stop();

      const before = readTree(server.directory);
      execFileSync("cp", ["-a", server.directory, join(workspace, "copy")]);
      expect(compareTrees(before, readTree(join(workspace, "copy")))).toEqual([]);
      const copy = await CyrusServer.adopt(join(workspace, "copy"), server.options);
      onTestFinished(() => copy.stop());
      expect(await copy.damage()).toEqual([]);
      await copy.start();
      expect(await viewServer(copy, users), "from the copy").toEqual(view);
      await copy.stop();
      expect(compareTrees(before, readTree(server.directory)), "the original").toEqual([]);
      await expectOneOfEverything(server, before);
    },
  );

  test("one flipped byte in one message is damage that Cyrus names", async () => {
    const server = await CyrusServer.create(join(makeWorkspace(), "server"));
    onTestFinished(() => server.stop());
    await server.start();
    await fillServer(server);
    await server.stop();
    expect(await server.damage()).toEqual([]);
    const message = [...readTree(server.directory).keys()].find((path) => path.endsWith("/7."));
    const path = server.path(message ?? "no message found");
    const bytes = readFileSync(path);
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    expect((await server.damage()).join("\n")).toMatch(/uid 7/);
  });

  test("a view shows one changed flag, and a second day changes the view", async () => {
    const server = await CyrusServer.create(join(makeWorkspace(), "server"));
    onTestFinished(() => server.stop());
    await server.start();
    const scenario = await fillServer(server);
    const first = await viewServer(server, scenario.users);
    const client = await ImapClient.connect(server.ports.imap, "anna");
    await client.select("INBOX/Archive/Projects");
    await client.command("UID STORE 1 +FLAGS (\\Flagged)");
    await client.logout();
    const second = await viewServer(server, scenario.users);
    expect(second).not.toEqual(first);
    expect(second.users["bruno"]).toEqual(first.users["bruno"]);
    await moreMail(server, scenario);
    expect(countMessages(await viewServer(server, [...scenario.users, "emil"]))).toBeGreaterThan(
      countMessages(second),
    );
  });
});

/** A backup can only be shown to keep what the sample server has. */
async function expectOneOfEverything(server: CyrusServer, tree: Tree): Promise<void> {
  const paths = [...tree.keys()];
  const has = (pattern: RegExp) =>
    expect(
      paths.some((path) => pattern.test(path)),
      String(pattern),
    ).toBe(true);
  const names = new Map<string, number>();
  for (const [path, { inode }] of tree) {
    if (/\/\d+\.$/.test(path)) names.set(inode, (names.get(inode) ?? 0) + 1);
  }
  expect(Math.max(...names.values()), "hard links").toBeGreaterThan(2);
  expect(Math.max(...[...tree.values()].map(({ sizeBytes }) => sizeBytes))).toBeGreaterThan(30_000_000);
  expect((await server.mailboxNames()).filter((name) => name.startsWith("DELETED."))).toHaveLength(1);
  const inbox = server.layout === "uuid" ? "user/anna" : "user.anna";
  expect((await server.tool("unexpunge", "-l", inbox)).stdout).toMatch(/UID: \d+/);
  for (const pattern of [
    /cyrus\.annotations$/,
    /^conf\/annotations\.db$/,
    /^conf\/mailboxes\.db$/,
    /^conf\/quota\/.*anna$/,
    /^conf\/user\/.*seen/,
    /^conf\/user\/.*sub/,
    /^sieve\/.*\.bc$/,
    /^spool2\/.*\/1\.$/,
  ]) {
    has(pattern);
  }
  expect(
    [...tree.values()].some(({ type }) => type === "symlink"),
    "a symlink",
  ).toBe(true);
  if (server.layout === "uuid") {
    has(/^spool\/uuid\/.\/.\/[0-9a-z-]+\/cyrus\.header$/);
  } else {
    has(/^meta\/[A-W]\/user\/anna\/cyrus\.header$/);
    has(/^archive\/[A-W]\/user\/anna\/.*\/\d+\.$/);
    has(/^spool\/domain\/[A-W]\/other\.example\/[A-W]\/user\/gus\/\d+\.$/);
    expect(paths.some((path) => path.includes("/uuid/"))).toBe(false);
  }
}
