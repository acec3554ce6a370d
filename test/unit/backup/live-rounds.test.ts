/** Rounds over a made-up server that changes between them, and locks that somebody else has. */
import { closeSync, mkdirSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import type { LiveRound, LiveSource } from "../../../src/backup/live-rounds.ts";
import type { BackupOptions } from "../../../src/backup/options.ts";
import { fromText, joinPath } from "../../../src/base/byte-string.ts";
import { tryLock } from "../../../src/base/posix.ts";
import { LiveHolder } from "../../../src/source/live/live-holder.ts";
import { mailboxLockPath } from "../../../src/source/live/lock-names.ts";
import { LockedReader, type LockedReaderOptions } from "../../../src/source/live/locked-reader.ts";
import { codesOf, Site } from "./site.ts";
import { mail, type TinyMailbox } from "./tiny-server.ts";

const RULES = { hashImapSpool: false, fullDirHash: false, virtualDomains: false };
const OWNER = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };

/** Tells when locks are let go: what happens then has happened after what was read under them. */
class WatchedReader extends LockedReader {
  readonly #afterLocks: (what: string) => void;

  constructor(options: LockedReaderOptions, afterLocks: (what: string) => void) {
    super(options);
    this.#afterLocks = afterLocks;
  }

  override holding: LockedReader["holding"] = (what, work) => {
    const result = LockedReader.prototype.holding.call(this, what, work) as ReturnType<typeof work>;
    this.#afterLocks(what);
    return result;
  };
}

class LiveSite implements Disposable {
  readonly site: Site;
  readonly x: TinyMailbox;
  readonly y: TinyMailbox;
  readonly rounds: LiveRound[] = [];
  onRound: (round: LiveRound) => void = () => undefined;
  afterLocks: (what: string) => void = () => undefined;
  reader!: LockedReader;

  private constructor(site: Site) {
    this.site = site;
    this.x = site.server.add("user.anna.X", ["one", "two", "three"]);
    this.y = site.server.add("user.anna.Y", ["four"]);
  }

  static async make(): Promise<LiveSite> {
    return new LiveSite(await Site.make());
  }

  get lockRoot(): string {
    return this.site.server.path("var/lib/cyrus/lock");
  }

  /** The tree is old: what changes from now on is seen to. */
  async backUp(limitMs = 200, backup: Partial<BackupOptions> = {}) {
    const options = { lockRoot: fromText(this.lockRoot), rules: RULES, owner: OWNER, limitMs };
    this.reader = new WatchedReader(options, (what) => this.afterLocks(what));
    const listPath = fromText(this.site.server.path("var/lib/cyrus/mailboxes.db"));
    const startedNs = BigInt(Date.now()) * 1_000_000n;
    const holder = new LiveHolder(this.reader, startedNs, [listPath]);
    const live: LiveSource = {
      reader: this.reader,
      holder,
      deletedPrefix: fromText("DELETED"),
      listPath,
      mayRead: true,
      isYetToCome: () => false,
      onAchieved: () => undefined,
      onRound: (round) => {
        this.rounds.push(round);
        this.onRound(round);
      },
    };
    try {
      return await this.site.backUp(backup, { live });
    } finally {
      holder.close();
    }
  }

  /** As IMAP MOVE with `expunge_mode: immediate`. */
  move(from: TinyMailbox, uid: number, to: TinyMailbox): void {
    const { server } = this.site;
    server.copy(from, uid, to);
    this.remove(from, uid);
  }

  remove(from: TinyMailbox, uid: number): void {
    const { server } = this.site;
    from.messages.splice(
      from.messages.findIndex((message) => message.uid === uid),
      1,
    );
    server.writeIndex(from, { lastUid: 9 });
    rmSync(server.message(from, uid));
  }

  async texts(result: { backup: string }): Promise<string[]> {
    const all = await Promise.all(
      ["user.anna.X", "user.anna.Y"].map((name) => this.site.messages(result, name)),
    );
    return all.flatMap((messages) => [...messages.values()].map(({ text }) => text)).sort();
  }

  [Symbol.dispose](): void {
    this.site[Symbol.dispose]();
  }
}

const ALL = ["one", "two", "three", "four"].map((text) => mail(text).toString("latin1")).sort();
const waitForTick = () => new Promise((resolve) => setTimeout(resolve, 40));

describe("a live backup", () => {
  test("of a server where nothing happens is one round, and says so", async () => {
    using it = await LiveSite.make();
    await waitForTick();
    const result = await it.backUp();
    expect(it.rounds).toEqual([{ round: 1, changed: 0, next: "done" }]);
    expect(await it.texts(result)).toEqual(ALL);
    expect(result.mailboxes).toMatchObject({ total: 2, new: 2 });
    const { view } = await it.site.root(result);
    expect(view.kind).toBe("live");
    expect(view.consistency).toContain("nothing changed after it was read");
    expect(it.reader.times).toMatchObject({ busy: 0, givenUp: 0 });
    expect(it.reader.times.taken).toBeGreaterThan(4);
  });

  test("has a message that is moved from a folder read late to one read early", async () => {
    using it = await LiveSite.make();
    await waitForTick();
    let isMoved = false;
    it.afterLocks = (what) => {
      if (what !== it.x.name || isMoved) return;
      isMoved = true;
      it.move(it.y, 1, it.x);
    };
    const result = await it.backUp();
    expect(it.rounds.map(({ next }) => next)).toEqual(["closing"]);
    expect(await it.texts(result)).toEqual(ALL);
    expect(codesOf(result)).toEqual([]);
    expect((await it.site.messages(result, "user.anna.Y")).size).toBe(0);
    expect((await it.site.root(result)).view.consistency).toContain("each user of one moment");
  });

  test("has what was unlinked right after the closing moment: it was put aside, or read before", async () => {
    using it = await LiveSite.make();
    let isAppended = false;
    it.afterLocks = (what) => {
      if (what === it.x.name && !isAppended) {
        isAppended = true;
        it.site.server.append(it.x, "new");
      }
      if (!what.endsWith(" users") || it.x.messages.length < 4) return;
      it.remove(it.x, 4);
      it.remove(it.x, 1);
    };
    const result = await it.backUp();
    expect(codesOf(result)).toEqual([]);
    expect(await it.texts(result)).toEqual([...ALL, mail("new").toString("latin1")].sort());
  });

  test("takes a folder that had not changed before the closing moment as it was then", async () => {
    using it = await LiveSite.make();
    await waitForTick();
    let isAppended = false;
    it.afterLocks = (what) => {
      if (what === it.x.name && !isAppended) {
        isAppended = true;
        it.site.server.append(it.x, "new");
      }
      // X is of the closing moment: what comes to it now is too late.
      if (what.endsWith(" users") && it.y.messages.length === 1) it.move(it.y, 1, it.x);
    };
    const result = await it.backUp();
    expect(it.rounds.map(({ next }) => next)).toEqual(["closing"]);
    expect(codesOf(result)).toEqual([]);
    expect(await it.texts(result)).toEqual([...ALL, mail("new").toString("latin1")].sort());
  });

  test("reads no further message when its time is over, in whatever round", async () => {
    using it = await LiveSite.make();
    it.afterLocks = (what) => {
      if (what === it.x.name) it.site.clock.advance(60_000);
    };
    const result = await it.backUp(200, { limits: { untilMs: it.site.clock.monotonicMs() + 1000 } });
    expect(codesOf(result)).toContain("not-reached");
    expect(it.rounds).toHaveLength(1);
  });

  test("does not miss for ever what was unlinked between index and reading", async () => {
    using it = await LiveSite.make();
    rmSync(it.site.server.message(it.x, 2));
    it.onRound = () => {
      it.x.messages.splice(1, 1);
      it.site.server.writeIndex(it.x);
    };
    const result = await it.backUp();
    expect(codesOf(result)).toEqual([]);
    expect(await it.texts(result)).toEqual(ALL.filter((text) => !text.includes("two")));
  });

  test("tries a busy lock again", async () => {
    using it = await LiveSite.make();
    const release = lockName(it, it.x);
    const whenBusy = setInterval(() => {
      if (it.reader.times.busy <= 2) return;
      clearInterval(whenBusy);
      release();
    }, 1);
    const result = await it.backUp(20_000);
    expect(codesOf(result)).toEqual([]);
    expect(it.reader.times.busy).toBeGreaterThan(2);
    expect(it.reader.times.givenUp).toBe(0);
  });

  test("names a mailbox whose lock is never to be had, and has its mail all the same", async () => {
    using it = await LiveSite.make();
    const release = lockName(it, it.x);
    const result = await it.backUp(60);
    release();
    expect(codesOf(result)).toContain("file-changed");
    expect(result.incomplete).toBe(true);
    expect(await it.texts(result)).toEqual(ALL);
    expect((await it.site.root(result)).view.consistency).toContain("could not be locked in time");
    expect(codesOf(await it.backUp())).toEqual([]);
  });

  test("needs a key that may read", async () => {
    using it = await LiveSite.make();
    const live = { mayRead: false } as LiveSource;
    await expect(it.site.backUp({}, { live })).rejects.toMatchObject({ code: "KEY_WRITE_ONLY" });
  });
});

/** As a process of Cyrus that repacks it. */
function lockName({ lockRoot }: LiveSite, { name, uniqueid }: TinyMailbox): () => void {
  const mailbox = { name: fromText(name), uuid: fromText(uniqueid) };
  const path = joinPath(fromText(lockRoot), mailboxLockPath(mailbox, RULES));
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, "w+");
  expect(tryLock(fd, "write")).toBe(true);
  return () => closeSync(fd);
}
