import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { CyrusServer, type Layout } from "../support/cyrus-server.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { ImapClient } from "../support/imap-client.ts";
import { fillServer, moreMail } from "../support/scenario.ts";
import { countMessages, viewServer } from "../support/server-view.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
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
