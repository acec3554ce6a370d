import { expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import type { CommandOptions } from "../../../src/snapshot/host.ts";
import { StopQuiesce } from "../../../src/snapshot/quiesce-stop.ts";
import { asTyped, unmarked } from "../../../src/snapshot/quiesce-unit.ts";
import { serviceOfCgroup } from "../../../src/source/host/service-of-cgroup.ts";
import { process } from "../doctor/made-up-host.ts";
import { CONFIG, PLACES, World } from "./quiesce-world.ts";

const MINUTE = 60_000;

function stopIn(world: World, more: Partial<ConstructorParameters<typeof StopQuiesce>[0]> = {}): StopQuiesce {
  return new StopQuiesce({
    host: world,
    config: CONFIG,
    commands: undefined,
    waitMs: 30 * MINUTE,
    maxDowntimeMs: 5 * MINUTE,
    watchdog: world.watchdog,
    log: world.logger,
    ...more,
  });
}

function runningWorld(): World {
  const world = new World().withSystemd();
  world.runCyrus();
  return world;
}

test("Cyrus is stopped by its unit and started again, and the downtime is told", async () => {
  const world = runningWorld();
  const stop = stopIn(world);
  expect(await stop.plan(PLACES)).toEqual([
    "stop Cyrus (process 500): systemctl stop cyrus-imapd.service",
    "start it again: systemctl start cyrus-imapd.service, after 300 s at the latest",
  ]);
  await stop.begin(PLACES, world);
  expect(world.runs).toBe(false);
  expect(world.held).toEqual([
    { kind: "stopped", start: ["systemctl", "start", "cyrus-imapd.service"], config: CONFIG },
  ]);
  await world.sleep(4000);
  expect(await stop.end()).toEqual({ heldMs: expect.any(Number), broken: undefined });
  expect(world.runs).toBe(true);
  expect(stop.heldMs).toBeGreaterThanOrEqual(4000);
  expect(world.held).toEqual([]);
  expect(world.watchdogs).toMatchObject([{ dismissed: true, bitten: false }]);
});

test("commands of the administrator's are told as they were given", () => {
  expect(asTyped(unmarked(["/bin/sh", "-c", "rc.cyrus start"]))).toBe("rc.cyrus start");
  expect(asTyped(["systemctl", "start", "cyrus-imapd.service"])).toBe("systemctl start cyrus-imapd.service");
});

test("what does not run is not stopped, and not started afterwards", async () => {
  const world = new World().withSystemd();
  const stop = stopIn(world);
  expect(await stop.plan(PLACES)).toEqual([
    "Cyrus does not run: it is not stopped, and not started afterwards",
  ]);
  await stop.begin(PLACES, world);
  expect(await stop.end()).toEqual({ heldMs: 0, broken: undefined });
  expect(world.log).toEqual([]);
});

test("commands of the administrator's are used instead, and hand nothing of ours on to the server", async () => {
  const world = runningWorld();
  world.commands.set("halt-mail", () => {
    world.endCyrus();
    return "";
  });
  world.commands.set("env", () => {
    world.runCyrus();
    return "";
  });
  const stop = stopIn(world, { commands: { stop: ["halt-mail"], start: ["begin-mail"] } });
  await stop.begin(PLACES, world);
  await stop.end();
  expect(world.log[0]).toBe("halt-mail");
  expect(world.log[1]).toMatch(/^env -u CYRVAULT_HOLDS -u LC_ALL .*begin-mail$/);
});

test("without a unit and without commands nothing is touched", async () => {
  const world = runningWorld();
  world.commands.set("cat", () => "0::/init.scope\n");
  const stop = stopIn(world);
  await expect(stop.plan(PLACES)).rejects.toMatchObject({
    code: "USAGE",
    hint: expect.stringContaining("--stop-command"),
  });
  await expect(stop.begin(PLACES, world)).rejects.toMatchObject({ code: "USAGE" });
  await stop.end();
  expect(world.runs).toBe(true);
  expect(world.log).toEqual([]);
});

test("a unit in which the backup runs itself is not stopped", async () => {
  const world = runningWorld();
  world.commands.set("cat", () => "0::/system.slice/all-in-one.service\n");
  await expect(stopIn(world).plan(PLACES)).rejects.toThrow(/would end both/);
});

test("cron's cyr_expire, no child of master, is waited for before anything is stopped", async () => {
  const world = runningWorld();
  world.runJob(700, "/usr/lib/cyrus/bin/cyr_expire");
  let wasRunning: boolean | undefined;
  world.after(10 * MINUTE, () => {
    wasRunning = world.runs;
    world.endJob(700);
  });
  const stop = stopIn(world);
  expect((await stop.plan(PLACES))[0]).toMatch(/wait until these have ended: cyr_expire \(process 700, /);
  await stop.begin(PLACES, world);
  expect(wasRunning).toBe(true);
  expect(world.log[0]).toBe("info: waiting for others that work on the mailboxes");
  expect((await stop.end()).heldMs).toBeLessThan(MINUTE);
});

test("an ipurge that master has started is waited for too, squatter -R is not", async () => {
  const world = runningWorld();
  world.processes.push(process(503, 500, 106, "ipurge", "-d", "30"));
  world.files.set(503, ["/var/spool/cyrus/x/cyrus.index"]);
  world.processes.push(process(504, 500, 106, "squatter", "-R"));
  world.files.set(504, ["/var/spool/cyrus/y/cyrus.index"]);
  world.commands.set("systemctl", ([, what]) => {
    if (what === "stop") world.processes = [];
    else world.runCyrus();
    return "";
  });
  world.after(MINUTE, () => world.endJob(503));
  const before = world.nowMs();
  const stop = stopIn(world);
  await stop.begin(PLACES, world);
  expect(world.nowMs() - before).toBeLessThan(2 * MINUTE);
  await stop.end();
});

test("who does not end in time is named, and nothing was stopped", async () => {
  const world = runningWorld();
  world.runJob(700, "/usr/lib/cyrus/bin/squatter");
  const stop = stopIn(world, { waitMs: 2 * MINUTE });
  await expect(stop.begin(PLACES, world)).rejects.toThrow(
    /nothing was stopped: .*squatter \(process 700, \/var\/spool\/cyrus\/b/,
  );
  await stop.end();
  expect(world.log.filter((line) => line.startsWith("systemctl"))).toEqual([]);
});

test("interrupted while it waits for others, it stops nothing", async () => {
  const world = runningWorld();
  world.runJob(812, "cyr_expire");
  const interrupted = new AbortController();
  world.after(3000, () => interrupted.abort(new CyrvaultError("INTERRUPTED", "interrupted")));
  const stop = stopIn(world);
  await expect(stop.begin(PLACES, world, interrupted.signal)).rejects.toMatchObject({ code: "INTERRUPTED" });
  await stop.end();
  expect(world.nowValue).toBeLessThan(1_000_000 + 10_000);
  expect(world.log.join()).not.toContain("systemctl");
});

test("interrupted while Cyrus ends, it is started again at once", async () => {
  const world = runningWorld();
  world.commands.set("systemctl", () => "");
  const interrupted = new AbortController();
  world.after(3000, () => interrupted.abort(new CyrvaultError("INTERRUPTED", "interrupted")));
  const stop = stopIn(world);
  await expect(stop.begin(PLACES, world, interrupted.signal)).rejects.toMatchObject({ code: "INTERRUPTED" });
  const { heldMs } = await stop.end();
  expect(heldMs).toBeLessThan(10_000);
  expect(world.log.at(-2)).toBe("systemctl start cyrus-imapd.service");
});

test("a start command that is the server itself, in the foreground, is left to serve", async () => {
  const world = runningWorld();
  const options: unknown[] = [];
  const run = world.run.bind(world);
  world.run = async (argv: readonly string[], given?: CommandOptions) => {
    if (argv[1] !== "start") return await run(argv);
    const result = await run(argv);
    options.push(given?.mayGoOn?.isEnough());
    return { ...result, exitCode: undefined, isLeft: true };
  };
  const stop = stopIn(world);
  await stop.begin(PLACES, world);
  expect(await stop.end()).toMatchObject({ broken: undefined });
  expect(options).toEqual([true]);
  expect(world.held).toEqual([]);
});

test("another Cyrus below the same places is refused at once", async () => {
  const world = runningWorld();
  world.processes.push(process(800, 1, 0, "/usr/sbin/cyrmaster", "-C", "/etc/other.conf"));
  world.processes.push(process(801, 800, 106, "imapd"));
  world.files.set(801, ["/var/spool/cyrus/z/cyrus.index"]);
  await expect(stopIn(world).begin(PLACES, world)).rejects.toMatchObject({ code: "USAGE" });
});

test("children that go on serving after master has gone are waited for", async () => {
  const world = runningWorld();
  world.commands.set("systemctl", ([, what]) => {
    if (what === "start") world.runCyrus();
    else world.processes = world.processes.filter(({ pid }) => pid === 502);
    return "";
  });
  // It has no file open, and could open one at any time.
  world.after(20_000, () => world.endCyrus());
  const stop = stopIn(world);
  await stop.begin(PLACES, world);
  expect(world.processes).toEqual([]);
  await stop.end();
});

test("a server that cannot be stopped is started again, and the failure says why", async () => {
  const world = runningWorld();
  world.commands.set("systemctl", ([, what]) => (what === "stop" ? { fails: "Unit is masked." } : ""));
  const stop = stopIn(world);
  await expect(stop.begin(PLACES, world)).rejects.toThrow(/cannot stop Cyrus: systemctl: Unit is masked/);
  await stop.end();
  expect(world.log).toContain("systemctl start cyrus-imapd.service");
  expect(world.held).toEqual([]);
});

test("a server that does not end within the longest downtime is started again", async () => {
  const world = runningWorld();
  world.commands.set("systemctl", () => "");
  const stop = stopIn(world, { maxDowntimeMs: MINUTE });
  await expect(stop.begin(PLACES, world)).rejects.toThrow(/Cyrus does not end, 60 s after/);
  expect((await stop.end()).heldMs).toBeLessThan(2 * MINUTE);
  expect(world.log.at(-1)).toMatch(/runs again/);
});

test("a job that cron starts while Cyrus stands still is waited for, but not beyond the longest downtime", async () => {
  const world = runningWorld();
  world.commands.set("systemctl", ([, what]) => {
    if (what === "stop") {
      world.endCyrus();
      world.runJob(700, "cyr_expire");
    } else world.runCyrus();
    return "";
  });
  const stop = stopIn(world, { maxDowntimeMs: MINUTE });
  await expect(stop.begin(PLACES, world)).rejects.toThrow(/still held open by cyr_expire/);
  await stop.end();
  expect(world.runs).toBe(true);
});

test("at the longest downtime Cyrus is started, whoever reads is told, and the report says so", async () => {
  const world = runningWorld();
  const stop = stopIn(world, { maxDowntimeMs: 2 * MINUTE });
  await stop.begin(PLACES, world);
  expect(stop.letGo.aborted).toBe(false);
  for (let i = 0; i < 200 && !stop.letGo.aborted; i++) await world.sleep(1000);
  expect(stop.letGo.aborted).toBe(true);
  await world.sleep(1000);
  expect(world.runs).toBe(true);
  const { heldMs, broken } = await stop.end();
  expect(heldMs).toBeLessThan(2.2 * MINUTE);
  expect(broken).toMatch(/started again after 120 s/);
  expect(world.log.filter((line) => line === "systemctl start cyrus-imapd.service")).toHaveLength(1);
});

test("somebody who starts it meanwhile is found out, also when it has ended again", async () => {
  const world = runningWorld();
  const stop = stopIn(world);
  await stop.begin(PLACES, world);
  world.after(3000, () => world.runCyrus());
  world.after(9000, () => world.endCyrus());
  for (let i = 0; i < 20; i++) await world.sleep(1000);
  expect((await stop.end()).broken).toMatch(/somebody has started Cyrus while it was read \(process 500\)/);
});

test("a job that writes while Cyrus stands still is found out", async () => {
  const world = runningWorld();
  const stop = stopIn(world);
  await stop.begin(PLACES, world);
  world.runJob(700, "cyr_expire");
  expect((await stop.end()).broken).toMatch(/held open to write while they were read: cyr_expire/);
});

test("if it cannot be started the watchdog tries too; if that fails, the failure is told and stays written down", async () => {
  const world = runningWorld();
  const stop = stopIn(world);
  await stop.begin(PLACES, world);
  let failures = 1;
  world.commands.set("systemctl", () => {
    if (failures-- > 0) return { fails: "Failed to start" };
    if (!world.runs) world.runCyrus();
    return "";
  });
  await stop.end();
  expect(world.watchdogs[0]?.bitten).toBe(true);
  expect(world.runs).toBe(true);

  const other = runningWorld();
  const second = stopIn(other);
  await second.begin(PLACES, other);
  other.commands.set("systemctl", () => ({ fails: "Failed to start" }));
  await expect(second.end()).rejects.toMatchObject({ code: "SNAPSHOT_FAILED" });
  expect(other.held).toHaveLength(1);
});

test("a start command that fails where Cyrus runs already has nothing to give back", async () => {
  const world = runningWorld();
  const commands = { stop: ["halt-mail"], start: ["begin-mail"] };
  world.commands.set("halt-mail", () => ({ fails: "halt-mail: not allowed" }));
  world.commands.set("env", () => (world.runs ? { fails: "already running" } : ""));
  const stop = stopIn(world, { commands });
  await expect(stop.begin(PLACES, world)).rejects.toThrow(/not allowed/);
  await stop.end();
  expect(world.held).toEqual([]);
  expect(world.watchdogs).toMatchObject([{ dismissed: true, bitten: false }]);

  const other = runningWorld();
  other.commands.set("halt-mail", () => {
    other.endCyrus();
    return "";
  });
  other.commands.set("env", () => (other.runs ? { fails: "already running" } : ""));
  const second = stopIn(other, { commands });
  await second.begin(PLACES, other);
  // monit
  other.runCyrus();
  expect((await second.end()).broken).toMatch(/somebody has started Cyrus/);
  expect(other.held).toEqual([]);
});

test("a Cyrus that is still about to end is not taken for one that serves", async () => {
  const world = runningWorld();
  world.commands.set("halt-mail", () => ({ fails: "timed out" }));
  world.after(3000, () => world.endCyrus());
  world.commands.set("env", () => {
    if (world.runs) return { fails: "already running" };
    world.runCyrus();
    return "";
  });
  const stop = stopIn(world, { commands: { stop: ["halt-mail"], start: ["begin-mail"] } });
  await expect(stop.begin(PLACES, world)).rejects.toThrow(/timed out/);
  await stop.end();
  expect(world.nowValue).toBeGreaterThan(1_003_000);
  expect(world.runs).toBe(true);
  expect(world.held).toEqual([]);
});

test("a server that was started and does not run is a failure", async () => {
  const world = runningWorld();
  const stop = stopIn(world);
  await stop.begin(PLACES, world);
  world.commands.set("systemctl", () => "");
  await expect(stop.end()).rejects.toThrow(/does not run/);
});

test("the watchdog outlasts our own limit, and is there before anything is stopped", async () => {
  const world = runningWorld();
  const stop = stopIn(world, { maxDowntimeMs: MINUTE });
  await stop.begin(PLACES, world);
  const [dog] = world.watchdogs;
  expect(dog?.task.afterMs).toBeGreaterThan(MINUTE);
  expect(dog?.task.steps[0]?.undo).toEqual(["systemctl", "start", "cyrus-imapd.service"]);
  await stop.end();

  const other = runningWorld();
  const refusing = stopIn(other, { watchdog: () => Promise.reject(new Error("no process")) });
  await expect(refusing.begin(PLACES, other)).rejects.toThrow("no process");
  await refusing.end();
  expect(other.log).toEqual([]);
});

test("a master whose configuration has another name is the same server", async () => {
  const world = runningWorld();
  world.processes[0] = process(500, 1, 0, "/usr/sbin/cyrmaster", "-C", "/usr/local/etc/imapd.conf");
  const stat = { type: "file", device: 8n, inode: 77n, uid: 0 } as const;
  world.more = { stat: (path) => (path.endsWith("imapd.conf") ? stat : undefined) };
  expect((await stopIn(world).plan(PLACES))[0]).toMatch(/stop Cyrus \(process 500\)/);
  world.more = {};
  expect((await stopIn(world, { config: fromText("/etc/other.conf") }).plan(PLACES))[0]).toMatch(
    /does not run/,
  );
});

test("a configuration that is named through a link is the one that the link leads to", async () => {
  const world = runningWorld();
  world.more = { realPath: (path) => fromText(path === "/srv/link.conf" ? "/etc/imapd.conf" : path) };
  const config = fromText("/srv/link.conf");
  expect((await stopIn(world, { config }).plan(PLACES))[0]).toMatch(/stop Cyrus \(process 500\)/);
});

test("serviceOfCgroup() finds the unit in either kind of cgroup, and none where there is none", () => {
  expect(serviceOfCgroup("0::/system.slice/cyrus-imapd.service\n")).toBe("cyrus-imapd.service");
  expect(serviceOfCgroup("9:name=systemd:/system.slice/cyrus@x.service/worker\n8:pids:/a.service\n")).toBe(
    "cyrus@x.service",
  );
  expect(serviceOfCgroup("8:pids:/system.slice/cyrus.service\n")).toBeUndefined();
  expect(
    serviceOfCgroup("0::/user.slice/user-0.slice/user@0.service/app.slice/cyrus.service\n"),
  ).toBeUndefined();
  expect(serviceOfCgroup("0::/docker/0123\n")).toBeUndefined();
  expect(serviceOfCgroup("")).toBeUndefined();
});
