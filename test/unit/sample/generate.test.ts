import { readFileSync, readlinkSync, statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { parseCounters } from "../../../src/cyrus/counters.ts";
import { readFlat } from "../../../src/cyrus/flat.ts";
import { parseImapdConf } from "../../../src/cyrus/imapd-conf.ts";
import { effectiveLayout } from "../../../src/cyrus/imapd-conf-layout.ts";
import { readMailboxList } from "../../../src/cyrus/mailbox-list.ts";
import { parseQuota } from "../../../src/cyrus/quota.ts";
import { readSubscriptions } from "../../../src/cyrus/subscriptions.ts";
import { readTwoskip } from "../../../src/cyrus/twoskip.ts";
import { generateServer } from "../../../src/sample/generate.ts";
import type { SampleLayout } from "../../../src/sample/layout.ts";
import type { SampleParameters, SampleServer } from "../../../src/sample/sample-server.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { messagePaths, readMailbox, readTree } from "./sample-files.ts";

const SMALL: Partial<SampleParameters> = {
  users: 8,
  foldersPerUser: 13,
  messages: 250,
  documentScale: 0.02,
};

describe.each<SampleLayout>(["uuid", "legacy"])("a sample server in the %s layout", (layout) => {
  let directory: TempDir;
  let server: SampleServer;
  beforeAll(() => {
    directory = tempDir();
    server = generateServer(directory.path, { ...SMALL, layout });
  });
  afterAll(() => directory.remove());

  test("is valid in every mailbox: CRCs, sync CRCs, counts, GUIDs, sizes, times", () => {
    const readings = server.state.mailboxes.map((mailbox) => readMailbox(server, mailbox));
    expect(readings.flatMap(({ problems }) => problems)).toEqual([]);
    const total = (of: (reading: (typeof readings)[number]) => number) =>
      readings.reduce((sum, reading) => sum + of(reading), 0);
    expect(total(({ records }) => records.length)).toBe(250);
    expect(total(({ live }) => live.length)).toBe(server.counts.messages);
    expect(server.counts.messages, "some are expunged").toBeLessThan(250);
    expect(readings.some(({ records }) => records.some(({ userFlags }) => userFlags[0] !== 0))).toBe(true);
  });

  test("has a mailbox list with every mailbox, deleted and renamed ones among them", () => {
    const { records, damage } = readTwoskip(readFileSync(directory.in("conf/mailboxes.db")));
    expect(damage).toEqual([]);
    const items = [...readMailboxList(records)];
    const entries = items.flatMap((item) => (item.kind === "entry" ? [item.entry] : []));
    expect(entries).toHaveLength(items.length);
    const names = entries.filter(({ tombstone }) => !tombstone).map(({ name }) => name);
    expect(names.sort()).toEqual(server.state.mailboxes.map(({ name }) => name).sort());
    expect(names.some((name) => name.startsWith("DELETED.user."))).toBe(true);
    expect(names.some((name) => name.includes("&"))).toBe(true);
    expect(entries.filter(({ tombstone }) => tombstone)).toHaveLength(server.state.tombstones.length);
    expect(server.state.tombstones.length).toBeGreaterThan(0);
  });

  test("is configured so that its roots are found", () => {
    const conf = parseImapdConf(fromText(server.configPath), (path) => readFileSync(path));
    const text = JSON.stringify(effectiveLayout(conf), (_, value) =>
      value instanceof Map ? [...value] : value,
    );
    for (const root of server.roots.filter((path) => !path.endsWith("/etc")))
      expect(text).toContain(`"${root}"`);
  });

  test("has each user's files, and they agree with the mailboxes", () => {
    for (const user of server.state.users) {
      const file = (suffix: string) => readFileSync(server.layout.userFile(user.id, user.inboxId, suffix));
      expect(parseCounters(file("counters")).highestModseq).toBe(BigInt(user.highestModseq));
      const names = new Set(server.state.mailboxes.map(({ name }) => name));
      const subscribed = readSubscriptions(readFlat(file("sub")).records, user.inbox);
      expect(subscribed.length).toBeGreaterThan(3);
      expect(subscribed.filter((name) => !names.has(name))).toEqual([]);
    }
    const [first] = server.state.users;
    const own = server.state.mailboxes.filter(({ quotaRoot }) => quotaRoot === first?.inbox);
    const quota = parseQuota(readFileSync(server.layout.quotaFile(first?.inbox ?? fromText(""))));
    expect(quota.resources.get("S")?.used).toBe(
      BigInt(own.reduce((sum, { usedBytes }) => sum + usedBytes, 0)),
    );
    expect(own.length).toBeGreaterThan(5);
    const sieve = server.layout.sieveDirectory(first?.id ?? fromText(""), first?.inboxId ?? fromText(""));
    expect(readlinkSync(`${sieve}/defaultbc`)).toBe("spam.bc");
  });

  test("comes out the same from the same seed, and otherwise from another", () => {
    using other = tempDir();
    const make = (name: string, seed: number) => {
      generateServer(other.in(name), { ...SMALL, users: 4, messages: 60, layout, seed, pathPrefix: "" });
      const tree = readTree(other.in(name));
      // It holds paths of files that may be linked to.
      tree.delete("/sample-state.json");
      return tree;
    };
    const first = make("first", 7);
    expect(first.size).toBeGreaterThan(150);
    expect(make("again", 7)).toEqual(first);
    expect(make("other", 8)).not.toEqual(first);
  });
});

test("the old form of cyrus.header can be had", () => {
  using directory = tempDir();
  const server = generateServer(directory.path, {
    ...SMALL,
    messages: 60,
    layout: "legacy",
    headerForm: "lines",
  });
  const readings = server.state.mailboxes.map((mailbox) => readMailbox(server, mailbox));
  expect(new Set(readings.map(({ header }) => header.form))).toEqual(new Set(["lines"]));
  expect(readings.flatMap(({ problems }) => problems)).toEqual([]);
});

test("recipients of one delivery share a file, and attachments circulate", () => {
  using directory = tempDir();
  const server = generateServer(directory.path, { ...SMALL, messages: 500, attachmentShare: 0.5 });
  const paths = messagePaths(server);
  expect(paths.filter((path) => statSync(path).nlink > 1).length).toBeGreaterThan(20);
  const names = paths.flatMap((path) => readFileSync(path, "latin1").match(/filename="[^"]+"/g) ?? []);
  expect(names.length).toBeGreaterThan(20);
  expect(new Set(names).size).toBeLessThan(names.length * 0.9);
});

test.each([
  [0, 1],
  [0.4, 0.01],
  [0.8, 0.03],
])(
  "attachments have about the share of all bytes that was asked for: %d",
  (attachmentShare, documentScale) => {
    using directory = tempDir();
    const server = generateServer(directory.path, {
      ...SMALL,
      foldersPerUser: 3,
      messages: 600,
      attachmentShare,
      documentScale,
      textScale: 0.2,
    });
    let [all, base64] = [0, 0];
    for (const path of messagePaths(server)) {
      const text = readFileSync(path, "latin1");
      all += text.length;
      for (const [lines] of text.matchAll(/(?:^[A-Za-z0-9+/=]{4,76}\r?$\n?){3,}/gm)) base64 += lines.length;
    }
    expect(base64 / all).toBeGreaterThan(attachmentShare - 0.15);
    expect(base64 / all).toBeLessThan(attachmentShare + 0.15);
  },
);

test.each<Partial<SampleParameters>>([
  { users: 0 },
  { messages: 0.5 },
  { attachmentShare: 1 },
  { repetition: -1 },
  { linkedShare: 1 },
  { wholeFileShare: 0.6, copyShare: 0.5 },
])("refuses %o", (parameters) => {
  expect(() => generateServer("/nonexistent", parameters)).toThrow(RangeError);
});
