import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { codesOf, Site } from "./site.ts";
import { mail } from "./tiny-server.ts";

function configure(site: Site, further: string): void {
  const lines = [
    "configdirectory: /var/lib/cyrus",
    "partition-default: /var/spool/cyrus",
    "servername: tiny",
  ];
  site.server.file("etc/imapd.conf", [...lines, further, ""].join("\n"));
}

test("attributes of messages are taken anew where their directory has got others, and nothing is read", async () => {
  using site = await Site.make();
  const anna = site.server.add("user.anna", ["one", "two"]);
  await site.backUp();
  chmodSync(site.server.message(anna, 1), 0o600);
  chmodSync(site.server.directory(anna), 0o700);
  const result = await site.backUp();
  expect(result.messages.read).toBe(0);
  const messages = await site.messages(result, "user.anna");
  expect((messages.get(1)?.entry.mode ?? 0) & 0o777).toBe(0o600);
});

test("a copied server's times and inodes are the new ones, and nothing is read", async () => {
  using site = await Site.make();
  const anna = site.server.add("user.anna", ["one", "two"]);
  const before = (await site.messages(await site.backUp(), "user.anna")).get(1)?.entry;
  const directory = site.server.directory(anna);
  execFileSync("cp", ["-r", directory, `${directory}x`]);
  execFileSync("rm", ["-r", directory]);
  renameSync(`${directory}x`, directory);
  const result = await site.backUp();
  expect(result.messages.read).toBe(0);
  const after = (await site.messages(result, "user.anna")).get(1)?.entry;
  expect(after?.object).toEqual(before?.object);
  expect(after?.inode).not.toBe(before?.inode);
  expect(after?.mtimeNs).not.toBe(before?.mtimeNs);
});

test("a message that lies elsewhere with another size than the index says is read", async () => {
  using site = await Site.make();
  const anna = site.server.add("user.anna", ["one", "two"]);
  await site.backUp();
  writeFileSync(site.server.message(anna, 1), mail("something longer"));
  chmodSync(site.server.directory(anna), 0o700);
  const result = await site.backUp();
  expect(result.messages.read).toBe(1);
  expect(codesOf(result)).toEqual(["message-guid-mismatch"]);
});

test("mailboxes are found in a directory that has become a partition, though nothing in it has changed", async () => {
  using site = await Site.make();
  configure(site, "");
  const anna = site.server.add("user.anna", ["one", "two"]);
  const directory = site.server.directory(anna);
  const relative = directory.slice(site.server.path("var/spool/cyrus").length);
  const moved = join(site.server.path("var/lib/cyrus/two"), relative);
  mkdirSync(dirname(moved), { recursive: true });
  renameSync(directory, moved);
  const asFiles = await site.backUp();
  expect(asFiles.mailboxes.total).toBe(0);
  configure(site, "partition-two: /var/lib/cyrus/two");
  const result = await site.backUp();
  expect(result.mailboxes.total).toBe(1);
  configure(site, "");
  const again = await site.backUp();
  expect(again.mailboxes.total).toBe(0);
  const file = (await site.files(again)).get(`/var/lib/cyrus/two${relative}/1.` as never);
  expect(await site.fileText(file)).toBe(mail("one").toString("latin1"));
});
