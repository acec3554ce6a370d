import { describe, expect, test } from "vitest";
import { RunLimits } from "../../../src/backup/run-limits.ts";
import { SimulatedClock } from "../../../src/base/clock.ts";
import { codesOf, Site } from "./site.ts";
import { mail } from "./tiny-server.ts";

describe("--max-duration", () => {
  test("when the time is over the backup is made of what there is, and names the mailboxes that lack messages", async () => {
    using site = await Site.make();
    site.server.add("user.anna", ["one", "two", "three"]);
    site.server.add("user.bob", ["four"]);
    const late = await site.backUp({ limits: { untilMs: 0 } });
    expect(late).toMatchObject({
      mailboxes: { total: 2, new: 2 },
      messages: { total: 0, read: 0 },
      incomplete: true,
    });
    expect(late.findings).toMatchObject([
      { code: "not-reached", severity: "error", mailbox: "user.anna", message: expect.stringMatching(/^3 /) },
      { code: "not-reached", severity: "error", mailbox: "user.bob", message: expect.stringMatching(/^1 /) },
    ]);
    const entry = (await site.mailboxes(late)).get("user.anna");
    expect(entry).toMatchObject({ messages: 0, lastUid: 3 });
    expect(entry?.files.map(({ name }) => name)).toEqual(["cyrus.header", "cyrus.index"]);
    expect((await site.files(late)).has("/var/lib/cyrus/mailboxes.db")).toBe(true);

    const next = await site.backUp();
    expect(next).toMatchObject({ messages: { total: 4, read: 4 }, findings: [], incomplete: false });
    expect(await site.backUp()).toMatchObject({ mailboxes: { unchanged: 2 } });
  });

  test("what the backup before has is taken over, new messages wait", async () => {
    using site = await Site.make();
    const anna = site.server.add("user.anna", ["one", "two"]);
    await site.backUp();
    site.server.append(anna, "three");
    const late = await site.backUp({ limits: { untilMs: 0 } });
    expect(late).toMatchObject({ messages: { total: 2, read: 0 }, incomplete: true });
    expect(codesOf(late)).toEqual(["not-reached"]);
    expect(await site.backUp()).toMatchObject({ messages: { total: 3, read: 1 }, incomplete: false });
  });

  test("a message that would be read again keeps the copy of the backup before, and is looked at next time", async () => {
    using site = await Site.make();
    const anna = site.server.add("user.anna", ["one", "two"]);
    await site.backUp();
    const [first] = anna.messages;
    if (first === undefined) throw new Error("no message");
    first.bytes = mail("one, but otherwise");
    site.server.writeIndex(anna);
    const late = await site.backUp({ limits: { untilMs: 0 } });
    expect(late.findings[0]?.message).toMatch(/^1 .*for 1 of them/);
    expect((await site.messages(late, "user.anna")).get(1)?.text).toContain("one\r\n");
    expect(await site.backUp()).toMatchObject({ messages: { total: 2, read: 1 } });
  });

  test("when it is over in the middle, messages read by then are there, and header and index of every mailbox", async () => {
    using site = await Site.make();
    const text = "x".repeat(4000);
    const names = Array.from({ length: 30 }, (_, i) => `user.u${String(i).padStart(2, "0")}`);
    for (const name of names)
      site.server.add(
        name,
        [1, 2, 3, 4].map((n) => `${n}${text}`),
      );
    const clock = new SimulatedClock({ startMs: Date.now() + 60_000, autoAdvance: true });
    const limits = { readRate: 1000, untilMs: clock.monotonicMs() + 120_000 };
    const late = await site.backUp({ limits }, { clock });
    expect(late.incomplete).toBe(true);
    expect(late.messages.total).toBeGreaterThan(0);
    expect(late.messages.total).toBeLessThan(120);
    const unread = late.findings.map(({ message }) => Number(/^\d+/.exec(message)?.[0]));
    expect(new Set(codesOf(late))).toEqual(new Set(["not-reached"]));
    expect(unread.reduce((sum, count) => sum + count, 0) + late.messages.total).toBe(120);
    const entries = await site.mailboxes(late);
    expect([...entries.keys()]).toEqual(names);
    for (const { files, lastUid } of entries.values()) {
      expect(files.map(({ name }) => name)).toEqual(["cyrus.header", "cyrus.index"]);
      expect(lastUid).toBe(4);
    }
    expect((await site.files(late)).has("/var/lib/cyrus/mailboxes.db")).toBe(true);
    const read = 120 - late.messages.total;
    expect(await site.backUp()).toMatchObject({ messages: { total: 120, read }, findings: [] });
  });

  test("an accepted finding makes the exit code 0 and the next backup read on all the same", async () => {
    using site = await Site.make();
    site.server.add("user.anna", ["one"]);
    const acceptRules = ["not-reached"];
    const late = await site.backUp({ limits: { untilMs: 0 } }, { acceptRules });
    expect(late).toMatchObject({ messages: { total: 0 }, incomplete: false });
    expect(await site.backUp({}, { acceptRules })).toMatchObject({ messages: { total: 1, read: 1 } });
  });
});

describe("--min-free", () => {
  /** @param until - how often there is room. */
  async function filled(until: number): Promise<{ site: Site; asked: () => number; run: Promise<unknown> }> {
    const site = await Site.make();
    for (const name of ["anna", "bob", "carl"]) site.server.add(`user.${name}`, [name, "two"]);
    let asked = 0;
    const freeBytes = () => {
      site.clock.advance(2000);
      return ++asked <= until ? 1e9 : 10;
    };
    const run = site.backUp({ limits: { freeBytes: 1e6 } }, { freeBytes });
    return { site, asked: () => asked, run };
  }

  test("the run stops before the room is used up, and the next one goes on from there", async () => {
    const whole = await filled(Number.POSITIVE_INFINITY);
    using _ = whole.site;
    await whole.run;
    const stopped = await filled(whole.asked() - 1);
    using site = stopped.site;
    await expect(stopped.run).rejects.toMatchObject({
      code: "NO_SPACE",
      message: expect.stringContaining("--min-free"),
    });
    expect(await site.repository.listCheckpoints("readers")).toHaveLength(1);
    await site.reopen();
    expect((await site.backUp()).messages).toMatchObject({ total: 6, new: 0 });
  });

  test("where nobody can tell how much is free, nothing stops", async () => {
    using site = await Site.make();
    site.server.add("user.anna", ["one"]);
    const result = await site.backUp({ limits: { freeBytes: 1e6 } }, { freeBytes: () => undefined });
    expect(result.messages.total).toBe(1);
  });
});

test("reading is held below the rate", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["x".repeat(5000), "y".repeat(5000)]);
  const clock = new SimulatedClock({ startMs: Date.now() + 60_000, autoAdvance: true });
  const result = await site.backUp({ limits: { readRate: 1000 } }, { clock });
  const slept = clock.sleeps.reduce((sum, ms) => sum + ms, 0);
  expect(result.bytes.read).toBeGreaterThan(20_000);
  expect(slept / 1000).toBeGreaterThan((result.bytes.read / 1000) * 0.95);
});

test("without limits nothing is late and nothing waits", () => {
  const limits = new RunLimits({}, { clock: new SimulatedClock() });
  expect([limits.pace, limits.isLate, limits.roomProblem()]).toEqual([undefined, false, undefined]);
});
