import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Site } from "./site.ts";

test("a snapshot that another backup has at the top of a root is left out; what is only named like it is not", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  const spool = site.server.path("var/spool/cyrus");
  const [ours, theirs] = [".cyrvault-20261122-031500-3f2a-1", ".cyrvault-mine"];
  mkdirSync(join(spool, theirs));
  writeFileSync(join(spool, theirs, "precious"), "precious");
  cpSync(join(spool, "uuid"), join(spool, ours, "uuid"), { recursive: true });
  const backup = await site.backUp();
  expect(backup).toMatchObject({ mailboxes: { total: 1 }, findings: [] });
  const files = [...(await site.files(backup)).keys()].filter((path) => path.includes(".cyrvault-"));
  expect(files).toContain(`/var/spool/cyrus/${theirs}/precious`);
  expect(files.filter((path) => path.includes(`${ours}/`))).toEqual([]);
  expect((await site.root(backup)).leftOut.map(({ path }) => path)).toContain(`/var/spool/cyrus/${ours}`);
});
