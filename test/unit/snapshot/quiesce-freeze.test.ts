import { expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import type { Places } from "../../../src/snapshot/method.ts";
import { FreezeQuiesce } from "../../../src/snapshot/quiesce-freeze.ts";
import { directory, mountInfo } from "../doctor/made-up-host.ts";
import { PLACES, World } from "./quiesce-world.ts";

const MOUNTS = mountInfo(
  ["/", "ext4", "/dev/sda1", "8:1"],
  ["/var/lib/cyrus", "xfs", "/dev/sdb1", "8:17"],
  ["/var/spool/cyrus", "xfs", "/dev/sdc1", "8:33"],
  ["/backup", "xfs", "/dev/sdd1", "8:49"],
  ["/srv/state", "xfs", "/dev/sdc1", "8:33"],
);

function world(): World {
  const made = new World();
  made.more = { mountInfo: MOUNTS, stat: () => directory(1) };
  return made;
}

const freezeIn = (made: World, more: Partial<ConstructorParameters<typeof FreezeQuiesce>[0]> = {}) =>
  new FreezeQuiesce({ host: made, provider: "command", ownPaths: [], watchdog: made.watchdog, ...more });

const refusal = (made: World, places: Places = PLACES, more = {}) =>
  freezeIn(made, more)
    .plan(places)
    .then(
      () => "nothing",
      (error: Error & { code?: string }) => `${error.code}: ${error.message}`,
    );

test("each filesystem is synced, frozen, and thawed again in reverse, with a watchdog that was there before", async () => {
  const made = world();
  const freeze = freezeIn(made);
  expect(await freeze.plan(PLACES)).toEqual([
    "freeze /var/lib/cyrus, 10 s at most",
    "freeze /var/spool/cyrus, 10 s at most",
  ]);
  await freeze.begin(PLACES, made);
  expect(made.held).toHaveLength(2);
  expect(made.watchdogs[0]?.task.afterMs).toBe(10_000);
  await made.sleep(2000);
  expect(await freeze.end(made)).toEqual({ heldMs: 2000, broken: undefined });
  expect(made.log).toEqual([
    "sync -f /var/lib/cyrus",
    "sync -f /var/spool/cyrus",
    "fsfreeze --freeze /var/lib/cyrus",
    "fsfreeze --freeze /var/spool/cyrus",
    "fsfreeze --unfreeze /var/spool/cyrus",
    "fsfreeze --unfreeze /var/lib/cyrus",
  ]);
  expect(made.watchdogs[0]?.dismissed).toBe(true);
  expect(made.held).toEqual([]);
});

test("a filesystem that holds several roots is frozen once", async () => {
  const roots = ["/var/spool/cyrus/a", "/var/spool/cyrus/b", "/srv/state/cyrus"].map(fromText);
  expect(await freezeIn(world()).plan({ roots, ours: [] })).toEqual([
    "freeze /var/spool/cyrus, 10 s at most",
  ]);
});

test("the root filesystem is refused, by whatever name", async () => {
  expect(await refusal(world(), { roots: [fromText("/home/cyrus")], ours: [] })).toMatch(
    /^USAGE: .* \/ lies on the same/,
  );
});

test("where repository or cache lie is refused, also when they are only to be made there", async () => {
  const made = world();
  made.more = { ...made.more, stat: (path) => (path.endsWith("/new") ? undefined : directory(1)) };
  expect(await refusal(made, { ...PLACES, ours: [fromText("/var/spool/cyrus/backup/new")] })).toMatch(
    /^USAGE: .*backup\/new lies/,
  );
  expect(await refusal(made, { ...PLACES, ours: [fromText("/backup/repository")] })).toBe("nothing");
});

test("where our own state or program lies is refused, by device and not by path", async () => {
  expect(await refusal(world(), PLACES, { ownPaths: [fromText("/srv/state/cyrvault")] })).toMatch(
    /^USAGE: .*\/srv\/state\/cyrvault/,
  );
});

test("where standard output goes to is refused", async () => {
  const made = world();
  made.files.set(process.pid, ["pipe:[12]", "/dev/null", "/var/spool/cyrus/backup.log"]);
  expect(await refusal(made)).toMatch(/^USAGE: .*backup.log/);
});

test("where a swap file lies is refused", async () => {
  const made = world();
  made.commands.set(
    "cat",
    () =>
      "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n/var/spool/cyrus/my\\040swap file 1 0 -3\n",
  );
  expect(await refusal(made)).toMatch(/^USAGE: .*\/var\/spool\/cyrus\/my swap lies/);
});

test("/run and /etc/lvm on the same filesystem are refused", async () => {
  for (const place of ["/run", "/etc/lvm"]) {
    const made = world();
    made.more = {
      mountInfo: mountInfo(
        ["/", "ext4", "/dev/sda1", "8:1"],
        ["/var", "xfs", "/dev/sdb1", "8:17"],
        [place, "xfs", "/dev/sdb1", "8:17"],
      ),
      stat: () => directory(1),
    };
    expect(await refusal(made)).toMatch(new RegExp(`^USAGE: .*${place} lies`));
  }
});

test("whoever is not root is refused", async () => {
  const made = world();
  made.more = { ...made.more, uid: 106 };
  expect(await refusal(made)).toMatch(/^USAGE: .*needs root/);
});

test("with a tree that is read as it is, it is refused; LVM, btrfs and ZFS freeze by themselves", async () => {
  expect(await refusal(world(), PLACES, { provider: "none" })).toMatch(/^USAGE: /);
  for (const provider of ["lvm", "btrfs", "zfs"] as const) {
    const made = world();
    const freeze = freezeIn(made, { provider });
    expect(await freeze.plan(PLACES)).toEqual([`freeze nothing: ${provider} does that by itself`]);
    await freeze.begin(PLACES, made);
    expect(await freeze.end(made)).toEqual({ heldMs: 0, broken: undefined });
    expect(made.log).toEqual([]);
  }
});

test("one that cannot be frozen is a failure, and what was frozen before is thawed", async () => {
  const made = world();
  made.commands.set("fsfreeze", ([, what, at]) =>
    what === "--freeze" && at === "/var/spool/cyrus"
      ? { fails: "freeze failed: Operation not supported" }
      : "",
  );
  const freeze = freezeIn(made);
  await expect(freeze.begin(PLACES, made)).rejects.toThrow(
    /cannot freeze \/var\/spool\/cyrus: .*not supported/,
  );
  await freeze.end(made);
  expect(made.log.slice(-2)).toEqual([
    "fsfreeze --unfreeze /var/spool/cyrus",
    "fsfreeze --unfreeze /var/lib/cyrus",
  ]);
  expect(made.held).toEqual([]);
});

test("a view that took longer than ten seconds was not held still", async () => {
  const made = world();
  const freeze = freezeIn(made);
  await freeze.begin(PLACES, made);
  await made.sleep(10_001);
  expect((await freeze.end(made)).broken).toMatch(/thawed after 10 s/);

  const other = world();
  const bitten = freezeIn(other);
  await bitten.begin(PLACES, other);
  Object.assign(other.watchdogs[0] ?? {}, { bitten: true });
  expect((await bitten.end(other)).broken).toMatch(/thawed after 10 s/);
});

test("what we cannot thaw the watchdog thaws", async () => {
  const made = world();
  const freeze = freezeIn(made);
  await freeze.begin(PLACES, made);
  let failures = 2;
  made.commands.set("fsfreeze", () => (failures-- > 0 ? { fails: "Device busy" } : ""));
  await freeze.end(made);
  expect(made.watchdogs[0]?.bitten).toBe(true);
});
