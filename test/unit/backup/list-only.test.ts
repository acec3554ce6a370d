import { expect, test } from "vitest";
import { planBackup } from "../../../src/backup/plan.ts";
import { selectBackup } from "../../../src/manifest/select-backup.ts";
import { Site } from "./site.ts";

test("--only mailbox-list keeps the list, as it is and as text, and no mailbox", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  const result = await site.backUp({ only: "mailbox-list" });
  expect(result).toMatchObject({
    server: "tiny (mailbox list)",
    parent: undefined,
    mailboxes: { total: 0 },
    messages: { total: 0, read: 0 },
    findings: [],
  });
  const files = await site.files(result);
  expect(await site.fileText(files.get("/var/lib/cyrus/mailboxes.db"))).toContain("user\x1fanna");
  expect(await site.fileText(files.get("/etc/imapd.conf"))).toContain("servername");
  expect(files.get("/var/lib/cyrus/annotations.db")?.content).toBeUndefined();
  expect(files.has("/var/lib/cyrus/user/a/anna.sub")).toBe(false);
  const root = await site.root(result);
  expect(await site.fileText({ content: root.mailboxList as never })).toContain("user.anna");
  expect(root.roots.map(({ kind }) => kind).sort()).toEqual(["config", "file"]);
});

test("the daily backup beside it builds upon the daily one before, and `latest` is the daily one", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one", "two"]);
  const daily = await site.backUp();
  const list = await site.backUp({ only: "mailbox-list" });
  const secondList = await site.backUp({ only: "mailbox-list" });
  expect(secondList).toMatchObject({ parent: list.backup });
  expect(secondList.bytes.added).toBeLessThan(1000);
  const next = await site.backUp();
  expect(next).toMatchObject({ parent: daily.backup, mailboxes: { unchanged: 1 }, messages: { read: 0 } });

  const after = await site.backUp({ only: "mailbox-list" });
  const known = [daily, list, secondList, next, after].map(({ backup, server, timeMs }) => ({
    backup,
    server,
    timeMs,
  }));
  const nowMs = Number.MAX_SAFE_INTEGER;
  expect(selectBackup(known, "latest", { nowMs }).backup).toBe(next.backup);
  const server = "tiny (mailbox list)";
  expect(selectBackup(known, "latest", { nowMs, server }).backup).toBe(after.backup);
  expect(selectBackup([...known].slice(1, 3), "latest", { nowMs }).backup).toBe(secondList.backup);
});

test("its plan says how little it is", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  expect(await planBackup(site.options({ only: "mailbox-list" }), site)).toMatchObject({
    server: "tiny (mailbox list)",
    mailboxes: { total: 0 },
    messagesToReadAtMost: 0,
  });
});
