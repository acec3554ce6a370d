import { chmodSync, existsSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { createLogger, type LogRecord } from "../../../src/base/log.ts";
import type { SnapshotHost } from "../../../src/snapshot/host.ts";
import { Journal } from "../../../src/snapshot/journal.ts";
import { journalFile } from "../../../src/snapshot/journal-file.ts";
import { liveSnapshotHost } from "../../../src/snapshot/live-snapshot-host.ts";
import { CommandProvider } from "../../../src/snapshot/provider-command.ts";
import { quiesceNone } from "../../../src/snapshot/quiesce-none.ts";
import { type HeldView, planView, withView } from "../../../src/snapshot/take-view.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { Killed, placesAt } from "./machine.ts";
import { SITES, type Site } from "./views.ts";

let dir: TempDir;
let logged: LogRecord[];
beforeEach(() => {
  dir = tempDir();
  logged = [];
});
afterEach(() => dir.remove());

const log = createLogger((record) => logged.push(record), "debug");
const KINDS = Object.keys(SITES) as (keyof typeof SITES)[];
const SERVER = "mail.example.org";

function openJournal(
  { machine }: Pick<Site, "machine">,
  hostFor: () => SnapshotHost = () => machine,
): Promise<Journal> {
  return Journal.open({
    directory: dir.path,
    server: SERVER,
    hostFor,
    startedBy: () => [],
    log,
  });
}

interface Signals {
  readonly signal?: AbortSignal;
  readonly hurry?: AbortSignal;
  readonly pollMs?: number;
  readonly hostFor?: () => SnapshotHost;
}

function inView<T>(site: Site, use: (held: HeldView) => Promise<T>, signals: Signals = {}) {
  const never = new AbortController().signal;
  const { provider, places } = site;
  const openHoldings = () => openJournal(site, signals.hostFor);
  return withView(
    {
      provider,
      quiesce: quiesceNone,
      places,
      openHoldings,
      log,
      signal: never,
      hurry: never,
      pollMs: 60_000,
      ...signals,
    },
    use,
  );
}

const written = () => readFileSync(journalFile(dir.path, SERVER), "utf8");

describe.each(KINDS)("a view by %s", (kind) => {
  test("lies elsewhere while it is used, and nothing is left of it afterwards", async () => {
    const site = SITES[kind]();
    const { result, problem } = await inView(site, async ({ view, finish }) => {
      expect(site.left()).not.toEqual([]);
      expect(written()).not.toBe("");
      const elsewhere = view.mappings.map(({ to }) => to);
      expect(elsewhere.every((place) => !site.places.roots.includes(place))).toBe(true);
      const report = await finish([]);
      return report.snapshot;
    });
    expect(result).toBe(site.provider.name);
    expect(problem).toBeUndefined();
    expect(site.left()).toEqual([]);
    expect(written()).toBe("");
  });

  test("is only planned by a plan", async () => {
    const site = SITES[kind]();
    const lines = await planView({ ...site, quiesce: quiesceNone });
    expect(lines.length).toBeGreaterThan(0);
    expect(site.left()).toEqual([]);
    expect(site.machine.commands.join("\n")).not.toMatch(/lvcreate|snapshot -r|zfs|mount|\/bin\/sh/);
  });

  test("is given back when whoever uses it fails, and that failure is the one to tell", async () => {
    const site = SITES[kind]();
    await expect(
      inView(site, () => Promise.reject(new CyrvaultError("NO_SPACE", "full"))),
    ).rejects.toMatchObject({ code: "NO_SPACE" });
    expect(site.left()).toEqual([]);
    expect(written()).toBe("");
  });

  test("takes as many steps as the tests below fail", async () => {
    const site = SITES[kind]();
    site.machine.fault = { at: site.steps - 1, isDone: false, kind: "fails" };
    await expect(inView(site, async () => "used")).rejects.toMatchObject({ code: "SNAPSHOT_FAILED" });
    const other = SITES[kind]();
    other.machine.fault = { at: other.steps, isDone: true, kind: "fails" };
    await expect(inView(other, async () => "used")).resolves.toMatchObject({ result: "used" });
  });

  test.each([false, true])(
    "of which any step fails (with its effect: %s) leaves nothing behind",
    async (isDone) => {
      for (let at = 0; at < SITES[kind]().steps; at++) {
        const site = SITES[kind]();
        site.machine.fault = { at, isDone, kind: "fails" };
        await expect(inView(site, async () => "used")).rejects.toMatchObject({ code: "SNAPSHOT_FAILED" });
        expect(site.left(), `step ${at}`).toEqual([]);
        expect(written()).toBe("");
      }
    },
  );

  test.each([false, true])(
    "whose taker is killed at any step (with its effect: %s) is given back by the next start",
    async (isDone) => {
      for (let at = 0; ; at++) {
        const site = SITES[kind]();
        site.machine.fault = { at, isDone, kind: "kills" };
        await inView(site, async () => "used").catch((error: unknown) => {
          if (!(error instanceof Killed)) throw error;
        });
        if (!site.machine.isKilled) {
          expect(at, "also while it is given back").toBeGreaterThan(site.steps);
          return;
        }
        expect(written()).not.toBe("");
        site.machine.isKilled = false;
        site.machine.fault = undefined;
        const journal = await openJournal(site);
        expect(site.left(), `step ${at}`).toEqual([]);
        expect(journal.isEmpty).toBe(true);
        journal.close();
        expect(written()).toBe("");
      }
    },
  );

  test("is not taken by a second start while the first is at work", async () => {
    const first = SITES[kind]();
    const second = SITES[kind]();
    await inView(first, async () => {
      await expect(inView(second, async () => "used")).rejects.toMatchObject({ code: "LOCKED" });
    });
    expect(second.machine.commands).toEqual([]);
  });
});

test("what cannot be given back is named, stays written down, and the next start tries again", async () => {
  const site = SITES.lvm();
  const { problem } = await inView(site, async () => {
    site.machine.busy = 1000;
  });
  expect(problem).toMatchObject({ code: "SNAPSHOT_FAILED" });
  expect(problem?.hint).toMatch(/by hand, delete \/.*\.held$/);
  expect(problem?.message).toMatch(/the mount at \/run\/cyrvault\/cyrvault-.*target is busy/);
  expect(site.machine.slept).toBeGreaterThan(10_000);
  expect(site.machine.commands.filter((line) => line.includes("umount")).join()).not.toMatch(/-l|--lazy|-f/);
  expect(written()).not.toBe("");
  site.machine.busy = 1;
  (await openJournal(site)).close();
  expect(site.left()).toEqual([]);
});

test("a Cyrus that cannot be started again is called just that, with what to do", async () => {
  const { machine } = SITES.lvm();
  const journal = await openJournal({ machine });
  const start = ["env", "-u", "LC_ALL", "/bin/sh", "-c", "rc start"];
  await journal.hold({ kind: "stopped", start }, async () => undefined);
  machine.fault = { at: 0, isDone: false, kind: "fails" };
  await expect(journal.releaseAll()).rejects.toMatchObject({
    message: expect.stringContaining("Cyrus is stopped, and `rc start` did not start it"),
    hint: expect.stringContaining("start Cyrus by hand now: no mail is delivered"),
  });
  journal.close();
});

test("a volume without our tag is not removed, whatever the journal says", async () => {
  const { machine } = SITES.lvm();
  const journal = await openJournal({ machine });
  const thing = { kind: "lvm-snapshot", group: "vg0", name: "spool" } as const;
  await journal.hold(thing, async () => undefined);
  await expect(journal.release(thing)).rejects.toThrow("does not carry the tag");
  expect(machine.volumes.has("vg0/spool")).toBe(true);
  journal.close();
});

test("ZFS: what the tools say of snapshots that are held, gone, or not ours", async () => {
  const { machine } = SITES.zfs();
  const journal = await openJournal({ machine });
  const name = "tank/spool@cyrvault-x";
  const thing = { kind: "zfs-snapshots", names: [name] } as const;
  const destroyed = () => machine.commands.filter((line) => line.startsWith("zfs destroy"));
  machine.zfsSnapshots.add(name);
  await journal.hold(thing, async () => undefined);
  // zfs hold, a clone: nothing that passes by itself.
  for (const why of [`it's being held. Run 'zfs holds -r ${name}' to see holders.`, "snapshot is cloned"]) {
    machine.zfsProblem = why;
    machine.commands.length = 0;
    await expect(journal.release(thing)).rejects.toThrow(why);
    expect(destroyed()).toHaveLength(1);
  }
  machine.zfsProblem = undefined;
  machine.busy = 2;
  await journal.release(thing);
  expect(machine.zfsSnapshots.size).toBe(0);
  // Somebody was quicker; then the dataset itself is gone.
  await journal.hold(thing, async () => undefined);
  await journal.release(thing);
  machine.mounts.length = 0;
  await journal.hold(thing, async () => undefined);
  await journal.release(thing);
  // To the tool, % is a range of snapshots and a comma a list: that would be somebody else's.
  machine.commands.length = 0;
  for (const bad of ["tank/spool@%", "tank/spool@cyrvault-x,daily", "tank/spool@daily", "tank/spool"]) {
    const wrong = { kind: "zfs-snapshots", names: [bad] } as const;
    await journal.hold(wrong, async () => undefined);
    await expect(journal.release(wrong)).rejects.toThrow("is no ZFS snapshot of ours");
  }
  expect(destroyed()).toEqual([]);
  journal.close();
});

test("a btrfs subvolume without our name is not removed, whatever the journal says", async () => {
  const { machine } = SITES.btrfs();
  machine.directory("/var/spool/cyrus/mail", 256n);
  const journal = await openJournal({ machine });
  const thing = { kind: "btrfs-snapshot", at: fromText("/var/spool/cyrus/mail") } as const;
  await journal.hold(thing, async () => undefined);
  await expect(journal.release(thing)).rejects.toThrow("is no btrfs snapshot of ours");
  expect(machine.directories.has("/var/spool/cyrus/mail")).toBe(true);
  journal.close();
});

test("a frozen filesystem that is no longer there has been given back", async () => {
  const { machine } = SITES.btrfs();
  const journal = await openJournal({ machine });
  await journal.hold({ kind: "frozen", at: fromText("/gone") }, async () => undefined);
  await journal.releaseAll();
  expect(journal.isEmpty).toBe(true);
  journal.close();
});

test("a journal that others may write, or that is a link, is not believed: nothing it names is done", async () => {
  const hold = {
    hold: { kind: "command-view", remove: ["/bin/sh", "-c", "make"], environment: {} },
    number: 1,
  };
  const path = journalFile(dir.path, SERVER);
  writeFileSync(path, `${JSON.stringify(hold)}\n`);
  chmodSync(path, 0o666);
  const { machine } = SITES.command();
  await expect(openJournal({ machine })).rejects.toMatchObject({
    code: "SNAPSHOT_FAILED",
    message: expect.stringContaining("may be written by others"),
  });
  const options = { directory: dir.path, hostFor: () => machine, startedBy: () => [], log };
  await Journal.recoverAll(options);
  expect(logged.at(-1)?.message).toContain("is not believed");
  chmodSync(path, 0o600);
  renameSync(path, dir.in("elsewhere"));
  symlinkSync(dir.in("elsewhere"), path);
  await expect(openJournal({ machine })).rejects.toMatchObject({ code: "IO" });
  expect(machine.commands).toEqual([]);
});

test("a torn last line and lines that nobody understands are passed over", async () => {
  const site = SITES.zfs();
  const journal = await openJournal(site);
  site.machine.zfsSnapshots.add("tank/conf@cyrvault-x");
  await journal.hold({ kind: "zfs-snapshots", names: ["tank/conf@cyrvault-x"] }, async () => undefined);
  journal.close();
  const { appendFileSync } = await import("node:fs");
  appendFileSync(
    journalFile(dir.path, SERVER),
    'nonsense\n{"hold":{"kind":"mount"},"number":7}\n{"hold":{"kind":"zfs-sn',
  );
  (await openJournal(site)).close();
  expect(site.left()).toEqual([]);
  expect(logged.filter(({ message }) => message.includes("cannot be read"))).toHaveLength(2);
});

test("what commands of a dead run still make is waited for", async () => {
  const { machine } = SITES.zfs();
  const options = { directory: dir.path, server: SERVER, hostFor: () => machine, log };
  const journal = await Journal.open({ ...options, startedBy: () => [] });
  await journal.hold({ kind: "zfs-snapshots", names: ["tank/conf@cyrvault-x"] }, async () => undefined);
  journal.close();
  let looks = 0;
  const startedBy = () => {
    if (++looks < 3) return [4711];
    machine.zfsSnapshots.add("tank/conf@cyrvault-x");
    return [];
  };
  (await Journal.open({ ...options, startedBy })).close();
  expect(machine.zfsSnapshots.size).toBe(0);
});

test("a frozen filesystem is thawed before anybody is waited for", async () => {
  const { machine } = SITES.command();
  machine.directory("/srv");
  const thaws: number[] = [];
  const run = machine.run.bind(machine);
  machine.run = async (argv, options) => {
    if (argv[0] !== "fsfreeze") return await run(argv, options);
    thaws.push(machine.slept);
    return { exitCode: 0, stdout: "", stderr: "", reason: undefined };
  };
  const options = { directory: dir.path, server: SERVER, hostFor: () => machine, log };
  const journal = await Journal.open({ ...options, startedBy: () => [] });
  await journal.hold({ kind: "frozen", at: fromText("/srv") }, async () => undefined);
  journal.close();
  (await Journal.open({ ...options, startedBy: () => [4711], end: () => undefined })).close();
  expect(thaws[0]).toBe(0);
  expect(machine.slept).toBeGreaterThanOrEqual(30_000);
});

test("what hangs is ended, after what can be given back without that", async () => {
  const { machine } = SITES.zfs();
  const alive = new Set([4711, 4712]);
  const ended: number[] = [];
  const options = { directory: dir.path, server: SERVER, hostFor: () => machine, log };
  const journal = await Journal.open({ ...options, startedBy: () => [] });
  await journal.hold({ kind: "zfs-snapshots", names: ["tank/conf@cyrvault-x"] }, async () => undefined);
  journal.close();
  machine.zfsSnapshots.add("tank/conf@cyrvault-x");
  const end = (pid: number) => {
    ended.push(pid);
    alive.delete(pid);
    // It came through just before.
    machine.zfsSnapshots.add("tank/conf@cyrvault-x");
  };
  const startedBy = () => {
    // A daemon of the view, which ends with it.
    if (machine.zfsSnapshots.size === 0) alive.delete(4712);
    return [...alive];
  };
  (await Journal.open({ ...options, startedBy, end })).close();
  expect(ended).toEqual([4711]);
  expect(machine.zfsSnapshots.size).toBe(0);
  expect(written()).toBe("");
});

test("a command for a view that hangs is given up when we are interrupted, and its view taken away", async () => {
  const host = liveSnapshotHost("mark");
  const make = 'touch "$1/made"; sleep 60'.replace("$1", dir.path);
  const hooks = { make, remove: `mv ${dir.in("made")} ${dir.in("removed")}`, stamp: "x" };
  const interrupted = new AbortController();
  const work = inView(
    { ...SITES.command(), provider: new CommandProvider(hooks, host), places: placesAt(dir.path) },
    async () => "used",
    { signal: interrupted.signal, hostFor: () => host },
  );
  const failed = expect(work).rejects.toMatchObject({ code: "INTERRUPTED" });
  for (let tries = 0; !existsSync(dir.in("made")) && tries < 500; tries++) await sleep(10);
  interrupted.abort(new CyrvaultError("INTERRUPTED", "interrupted"));
  await failed;
  expect(existsSync(dir.in("removed"))).toBe(true);
  expect(written()).toBe("");
});

test("the hurried do not wait for whoever reads, and leave nothing behind", async () => {
  const site = SITES.lvm();
  const hurry = new AbortController();
  const work = inView(
    site,
    () => {
      setImmediate(() => hurry.abort(new CyrvaultError("INTERRUPTED", "twice")));
      return new Promise<never>(() => undefined);
    },
    { hurry: hurry.signal },
  );
  await expect(work).rejects.toMatchObject({ code: "INTERRUPTED" });
  expect(site.left()).toEqual([]);
});

test("interrupted before the view is used, nothing is read and nothing is left", async () => {
  const site = SITES.btrfs();
  const signal = AbortSignal.abort(new CyrvaultError("INTERRUPTED", "interrupted"));
  await expect(inView(site, async () => "used", { signal })).rejects.toMatchObject({ code: "INTERRUPTED" });
  expect(site.left()).toEqual([]);
});

describe("a snapshot that overflows", () => {
  const overflow = ({ machine }: Site, given: object) => {
    for (const [name, volume] of machine.volumes)
      if (name.includes("cyrvault-")) Object.assign(volume, given);
  };

  test.each([
    ["is invalid", { attributes: "swi-I-s---", data: "100.00" }],
    ["is nearly full", { data: "95.20" }],
  ])("stops the backup before its commit: it %s", async (_, given) => {
    const site = SITES.lvm();
    const work = inView(site, async ({ finish }) => {
      overflow(site, given);
      await finish([]);
    });
    await expect(work).rejects.toMatchObject({ code: "SNAPSHOT_FAILED" });
    expect(site.left()).toEqual([]);
  });

  test("is seen while the backup is reading", async () => {
    const site = SITES.lvm();
    const work = inView(
      site,
      async ({ signal }) => {
        overflow(site, { attributes: "swi-I-s---" });
        await new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
        });
      },
      { pollMs: 1 },
    );
    await expect(work).rejects.toMatchObject({
      code: "SNAPSHOT_FAILED",
      message: expect.stringContaining("overflowed"),
    });
  });

  test("of a thin one, by its pool", async () => {
    const site = SITES["lvm-thin"]();
    const work = inView(site, async ({ finish }) => {
      Object.assign(site.machine.volumes.get("vg0/pool") ?? {}, { metadata: "96.00" });
      await finish([]);
    });
    await expect(work).rejects.toThrow("the thin pool vg0/pool is 96 % full");
  });
});
