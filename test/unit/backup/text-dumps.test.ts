import { expect, test } from "vitest";
import { readFlat } from "../../../src/cyrus/flat.ts";
import { encodeTwoskip } from "../../../src/cyrus/twoskip-encode.ts";
import { codesOf, Site } from "./site.ts";

const DUMPS = "/var/lib/cyrus/cyrvault-text-dumps";

test("--text-dumps: what the databases hold can be read, and the flat file gives the same records again", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  const annotations = [
    { key: Buffer.from("\0/comment\0\0"), value: value("of the server") },
    { key: Buffer.from("abc\0/specialuse\0[.OwNeR.]\0"), value: value("\\Junk\twith a tab") },
  ];
  site.server.file("var/lib/cyrus/annotations.db", encodeTwoskip(annotations));
  const seen = [{ key: Buffer.from("abc"), value: Buffer.from("1 1700000000 7 1700000001 1:4,7") }];
  site.server.file("var/lib/cyrus/user/a/anna.seen", encodeTwoskip(seen));
  site.server.file("var/lib/cyrus/user/a/anna.sub", "user.anna\t\nuser.bob\t\n");
  site.server.file("var/lib/cyrus/quota/a/user.anna", "%(S (1000 2000) M (7))\n");
  site.server.file("var/lib/cyrus/domain/e/example.com/quota/root", "12\n100\n");
  const result = await site.backUp({ textDumps: true });
  expect(codesOf(result)).toEqual([]);
  const files = await site.files(result);
  const text = async (name: string) => await site.fileText(files.get(`${DUMPS}/${name}`));

  expect(await text("annotations.txt")).toBe(
    "\t/comment\t\tof the server\t\nabc\t/specialuse\t[.OwNeR.]\t\\Junk\xff\x89with a tab\tabc\n",
  );
  const flat = [...readFlat(Buffer.from((await text("annotations.flat")) ?? "", "latin1")).records];
  expect(flat).toEqual(annotations);
  expect(await text("seen.txt")).toBe("user/a/anna.seen\tabc\t1 1700000000 7 1700000001 1:4,7\tanna\t\n");
  expect(await text("subscriptions.txt")).toBe(
    "user/a/anna.sub\tuser.anna\t\tanna\tuser.anna\nuser/a/anna.sub\tuser.bob\t\tanna\tuser.bob\n",
  );
  expect(await text("quotas.txt")).toBe(
    "user.anna\tS\t1000\t2000\nuser.anna\tM\t7\t-\nexample.com!\tS\t12\t100\n",
  );
  expect(await text("quotas.flat")).toBe("user.anna\t%(S (1000 2000) M (7))\nexample.com!\t12 100\n");
  expect(await text("README.txt")).toContain("cvt_cyrusdb");

  const second = await site.backUp({ textDumps: true });
  expect(second.bytes.added).toBeLessThan(20_000);
  const without = await site.backUp();
  expect([...(await site.files(without)).keys()].filter((path) => path.startsWith(DUMPS))).toEqual([]);
});

test("since 3.6 a user's files lie under the INBOX's uniqueid: users and mailboxes are named all the same", async () => {
  using site = await Site.make();
  const { uniqueid = "" } = site.server.add("user.anna", ["one"]);
  const place = `user/uuid/${uniqueid[0]}/${uniqueid[1]}/${uniqueid}`;
  const seen = [{ key: Buffer.from(uniqueid), value: Buffer.from("1 1700000000 7 1700000001 1") }];
  site.server.file(`var/lib/cyrus/${place}/seen.db`, encodeTwoskip(seen));
  site.server.file(
    `var/lib/cyrus/${place}/sub.db`,
    "\x1fVER\x1f\t2\nNINBOX\t\nNINBOX\x1fWork\t\nNuser\x1fbob.b\t\n",
  );
  site.server.file("var/lib/cyrus/user/uuid/0/0/00nobody/seen.db", encodeTwoskip(seen));
  const files = await site.files(await site.backUp({ textDumps: true }));
  const text = async (name: string) => await site.fileText(files.get(`${DUMPS}/${name}`));
  const state = `${uniqueid}\t1 1700000000 7 1700000001 1`;
  const both = [
    `user/uuid/0/0/00nobody/seen.db\t${state}\t\tuser.anna\n`,
    `${place}/seen.db\t${state}\tanna\tuser.anna\n`,
  ];
  expect(await text("seen.txt")).toBe(both.sort().join(""));
  expect(await text("subscriptions.txt")).toBe(
    [
      "\x1fVER\x1f\t2\tanna\t\n",
      "NINBOX\t\tanna\tuser.anna\n",
      "NINBOX\x1fWork\t\tanna\tuser.anna.Work\n",
      "Nuser\x1fbob.b\t\tanna\tuser.bob^b\n",
    ]
      .map((line) => `${place}/sub.db\t${line}`)
      .join(""),
  );
});

test("a restored server has the directory: it is made anew, and a file of somebody's beside it stays", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  site.server.file("var/lib/cyrus/annotations.db", "");
  site.server.file("var/lib/cyrus/cyrvault-text-dumps/seen.txt", "of another day");
  site.server.file("var/lib/cyrus/cyrvault-text-dumps/mine.txt", "mine");
  const files = await site.files(await site.backUp({ textDumps: true }));
  expect(await site.fileText(files.get(`${DUMPS}/seen.txt`))).toBe("");
  expect(await site.fileText(files.get(`${DUMPS}/mine.txt`))).toBe("mine");
});

test("a database that is not understood is a finding, and the rest is there", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  const twom = Buffer.from("\xa1\x02\x8b\rtwomfile".padEnd(64, "\0"), "latin1");
  site.server.file("var/lib/cyrus/annotations.db", twom);
  site.server.file("var/lib/cyrus/user/a/anna.sub", "user.anna\t\n");
  site.server.file("var/lib/cyrus/quota/a/user.anna", "neither");
  const result = await site.backUp({ textDumps: true });
  expect(new Set(codesOf(result))).toEqual(new Set(["database-unreadable", "database-damaged"]));
  const files = await site.files(result);
  expect(await site.fileText(files.get(`${DUMPS}/subscriptions.txt`))).toContain("user/a/anna.sub");
});

function value(text: string): Buffer {
  const length = Buffer.alloc(8);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, Buffer.from(text), Buffer.from("\0text/plain\0"), Buffer.alloc(17)]);
}
