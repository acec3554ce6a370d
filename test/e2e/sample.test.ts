import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { advanceServer } from "../../src/sample/advance.ts";
import { generateServer } from "../../src/sample/generate.ts";
import type { SampleLayout } from "../../src/sample/layout.ts";
import { ADMIN, ADMIN_PASSWORD, CyrusServer } from "../support/cyrus-server.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { ImapClient, textOf } from "../support/imap-client.ts";
import { countMessages, viewServer } from "../support/server-view.ts";
import { makeWorkspace } from "../support/workspace.ts";

const LAYOUTS: readonly SampleLayout[] = ["uuid", "legacy"];

describeWithCyrus("a generated server", () => {
  test.each(LAYOUTS)(
    "in the %s layout is one that Cyrus finds nothing wrong with, and serves",
    async (layout) => {
      const directory = join(makeWorkspace(), "server");
      const sample = generateServer(directory, { layout, users: 11, foldersPerUser: 13, messages: 500 });
      for (let day = 1; day <= 3; day++) advanceServer(sample, { day, share: 0.3 });
      const server = await adopt(directory, layout);
      onTestFinished(() => server.stop());

      expect((await server.mailboxNames()).sort()).toEqual(
        sample.state.mailboxes.map(({ name }) => name).sort(),
      );
      expect(await server.damage()).toEqual([]);
      const rewritten = (await server.tool("reconstruct", "-G")).stdout
        .split("\n")
        .filter((line) => / rewrote /.test(line));
      expect(rewritten, "cyrus.cache is what Cyrus itself would write").toEqual([]);

      await server.start();
      const users = sample.state.users.map(({ id }) => id as string);
      const view = await viewServer(server, users.slice(0, 3));
      expect(countMessages(view)).toBeGreaterThan(50);
      const [first] = sample.state.users;
      const inbox = sample.state.mailboxes.find(({ name }) => name === first?.inbox);
      const client = await ImapClient.connect(server.ports.imap, users[0]);
      expect(JSON.stringify(await client.command('LIST "" "*"'))).toContain("Gr&APYA3w-e");
      expect(JSON.stringify(await client.command("SELECT INBOX"))).toContain(`["${inbox?.exists}","EXISTS"]`);
      const fetched = await client.command("UID FETCH 1:* (ENVELOPE BODYSTRUCTURE FLAGS BODY.PEEK[1])");
      expect(fetched.filter((answer) => textOf(answer[1]) === "FETCH")).toHaveLength(inbox?.exists ?? -1);
      await client.logout();
    },
  );
});

async function adopt(directory: string, layout: SampleLayout): Promise<CyrusServer> {
  const server = await CyrusServer.adopt(directory, { layout });
  const setPassword = 'printf %s "$1" | saslpasswd2 -p -c -f "$2" -u mail.example.org "$3"';
  execFileSync("sh", ["-c", setPassword, "sh", ADMIN_PASSWORD, server.path("etc/sasldb2"), ADMIN]);
  chmodSync(directory, 0o755);
  execFileSync("chown", ["-R", "cyrus:mail", directory]);
  return server;
}
