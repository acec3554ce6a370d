import { chmodSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { type LockChild, startLockChild, WithlockQuiesce } from "../../../src/snapshot/quiesce-withlock.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { CONFIG, PLACES, World } from "./quiesce-world.ts";

const LVM = { name: "lvm", isFrozen: true } as const;
const TOOL = "/usr/lib/cyrus/bin/cyr_withlock_run";

/** 3.12: it has the tool. */
function world(): World {
  const made = new World();
  const stat = { type: "file", device: 8n, inode: 9n, uid: 0 } as const;
  made.more = { stat: (path) => (path === TOOL ? stat : undefined) };
  return made;
}

function child(more: Partial<LockChild> = {}): LockChild & { released: number } {
  return {
    released: 0,
    isHeld: async () => true,
    hasEnded: false,
    complaint: "",
    async release() {
      this.released++;
    },
    ...more,
  };
}

function quiesceIn(
  made: World,
  start: (argv: readonly string[]) => LockChild,
  provider = LVM as { name: "lvm" | "none"; isFrozen: boolean },
) {
  return new WithlockQuiesce({ host: made, config: CONFIG, provider, maxHeldMs: 90_000, start });
}

test("the lock is held from begin to end by a program that is given its full path", async () => {
  const made = world();
  const held = child();
  let given: readonly string[] = [];
  const quiesce = quiesceIn(made, (argv) => {
    given = argv;
    return held;
  });
  expect((await quiesce.plan())[0]).toMatch(
    /^hold the lock over all of Cyrus: .*cyr_withlock_run -C \/etc\/imapd.conf -- \/bin\/sh -c /,
  );
  await quiesce.begin(PLACES);
  expect(given[0]).toBe(TOOL);
  expect(given.at(-1)).toBe("90");
  await made.sleep(700);
  expect(await quiesce.end(made)).toEqual({ heldMs: 700, broken: undefined });
  expect(held.released).toBe(1);
});

test("a Cyrus without the tool is refused with what works instead", async () => {
  const quiesce = quiesceIn(new World(), () => child());
  await expect(quiesce.plan()).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringContaining("3.12"),
    hint: expect.stringContaining("stop"),
  });
});

test("without a view of a moment it is refused", async () => {
  const quiesce = quiesceIn(world(), () => child(), { name: "none", isFrozen: false });
  await expect(quiesce.plan()).rejects.toMatchObject({ code: "USAGE" });
});

test("a lock that is not to be had is a failure, and nobody waits for it any longer", async () => {
  const refusing = child({ isHeld: async () => false, hasEnded: true, complaint: "cannot get global lock" });
  const quiesce = quiesceIn(world(), () => refusing);
  await expect(quiesce.begin(PLACES)).rejects.toThrow(/did not lock Cyrus: cannot get global lock/);
  expect(refusing.released).toBe(1);
  expect(await quiesce.end(new World())).toEqual({ heldMs: 0, broken: undefined });
});

test("interrupted while it waits for the lock, it gives up at once", async () => {
  const waiting = child({ isHeld: () => new Promise(() => undefined) });
  const interrupted = new AbortController();
  const work = quiesceIn(world(), () => waiting).begin(PLACES, undefined, interrupted.signal);
  const failed = expect(work).rejects.toMatchObject({ code: "INTERRUPTED" });
  interrupted.abort(new CyrvaultError("INTERRUPTED", "interrupted"));
  await failed;
  expect(waiting.released).toBe(1);
});

test("a lock that was lost before the end is told", async () => {
  const made = world();
  const lost = child({ hasEnded: true, complaint: "exit code 1" });
  const quiesce = quiesceIn(made, () => ({ ...lost, isHeld: async () => true }));
  await quiesce.begin(PLACES);
  expect((await quiesce.end(made)).broken).toMatch(/ended before the view was taken: exit code 1/);
});

test("the tool beside the running master is preferred", async () => {
  const made = new World();
  made.runCyrus();
  const stat = { type: "file", device: 8n, inode: 9n, uid: 0 } as const;
  made.more = { stat: (path) => (path.endsWith("cyr_withlock_run") ? stat : undefined) };
  expect((await quiesceIn(made, () => child()).plan())[0]).toContain("/usr/sbin/cyr_withlock_run");
});

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir.remove());

/** As the real one: takes options, runs a program without looking for it, answers with how that ended. */
function toolThat(script: string): string[] {
  writeFileSync(dir.in("tool"), `#!/bin/sh\nshift 3\n${script}\n`);
  chmodSync(dir.in("tool"), 0o755);
  const program = 'echo held && exec timeout "$1" cat >/dev/null';
  return [dir.in("tool"), "-C", "/etc/imapd.conf", "--", "/bin/sh", "-c", program, "sh", "30"];
}

test("the real child says when it holds, and lets go when the pipe closes", async () => {
  const real = startLockChild(toolThat('"$@"'));
  expect(await real.isHeld(10_000)).toBe(true);
  expect(real.hasEnded).toBe(false);
  await real.release();
  expect(real.hasEnded).toBe(true);
});

test("the real child tells what a tool complains of, and one that is not there", async () => {
  const refusing = startLockChild(toolThat("echo no global_lock >&2; exit 1"));
  expect(await refusing.isHeld(10_000)).toBe(false);
  await refusing.release();
  expect(refusing.complaint).toContain("no global_lock");
  const absent = startLockChild([fromText("/nowhere/cyr_withlock_run")]);
  expect(await absent.isHeld(10_000)).toBe(false);
  await absent.release();
  expect(absent.complaint).toContain("ENOENT");
});

test("the real child is not waited for beyond the time", async () => {
  const slow = startLockChild(toolThat("exec sleep 60"));
  expect(await slow.isHeld(100)).toBe(false);
  await slow.release();
  expect(slow.hasEnded).toBe(true);
});
