import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import type { Holdings } from "../../../src/snapshot/held.ts";
import { CommandProvider } from "../../../src/snapshot/provider-command.ts";
import { LvmProvider } from "../../../src/snapshot/provider-lvm.ts";
import { NoneProvider } from "../../../src/snapshot/provider-none.ts";
import type { HostProcess } from "../../../src/source/host/host-facts.ts";
import { SourceView } from "../../../src/source/view.ts";
import { madeUpHost, process } from "../doctor/made-up-host.ts";
import { Machine, placesAt } from "./machine.ts";
import { SITES } from "./views.ts";

const held: Holdings = {
  hold: (_thing, take) => take(),
  release: async () => undefined,
  releaseAll: async () => undefined,
};

describe("LVM", () => {
  test("one snapshot for each volume, all of them before the first is mounted; XFS with nouuid, journals replayed", async () => {
    const { machine, provider, places } = SITES.lvm();
    await provider.plan(places);
    const view = await provider.take(places, held);
    const name = "cyrvault-20261122-031500-3f2a";
    expect(machine.commands.filter((line) => !/^(lvs|vgs)/.test(line))).toEqual([
      `lvcreate --yes --snapshot --name ${name}-1 --addtag cyrvault --size 150994944b vg0/conf`,
      `lvcreate --yes --snapshot --name ${name}-2 --addtag cyrvault --size 150994944b vg0/spool`,
      `mkdir --parents --mode=0700 /run/cyrvault/${name}-1`,
      `mount -t ext4 -o ro,nodev,nosuid,noexec /dev/vg0/${name}-1 /run/cyrvault/${name}-1`,
      `mkdir --parents --mode=0700 /run/cyrvault/${name}-2`,
      `mount -t xfs -o ro,nodev,nosuid,noexec,nouuid /dev/vg0/${name}-2 /run/cyrvault/${name}-2`,
    ]);
    expect(view.mappings).toEqual([
      { from: "/var/lib/cyrus", to: `/run/cyrvault/${name}-1` },
      { from: "/var/spool/cyrus", to: `/run/cyrvault/${name}-2` },
    ]);
    expect(view.isAtomic).toBe(false);
  });

  test("a thin one has no size, and is activated although LVM would not", async () => {
    const { machine, provider, places } = SITES["lvm-thin"]();
    await provider.plan(places);
    await provider.take(places, held);
    const text = machine.commands.join("\n");
    expect(text).not.toContain("--size");
    expect(text).toContain("lvchange --activate y --ignoreactivationskip vg0/cyrvault-");
  });

  test.each([
    ["data", { data: "80.50" }],
    ["metadata", { metadata: "93.00" }],
  ])("is refused where the pool's %s is over 80 %% full", async (_, full) => {
    const { machine, provider, places } = SITES["lvm-thin"]();
    Object.assign(machine.volumes.get("vg0/pool") ?? {}, full);
    await expect(provider.plan(places)).rejects.toMatchObject({ code: "NO_SPACE" });
  });

  test("is refused where the group has no room for all of them", async () => {
    const { machine, provider, places } = SITES.lvm();
    machine.freeBytes = 200_000_000;
    await expect(provider.plan(places)).rejects.toMatchObject({ code: "NO_SPACE" });
  });

  test.each([false, true])(
    "is refused where the repository lies on a volume that is frozen, unless told (%s)",
    async (sameVolume) => {
      const { machine, places } = SITES.lvm();
      const options = {
        size: { bytes: 1e6 },
        sameVolume,
        stamp: "x",
        mountsBelow: fromText("/run/cyrvault"),
      };
      const plan = new LvmProvider(options, machine).plan({
        ...places,
        ours: [fromText("/var/spool/cyrus/backup/new")],
      });
      if (sameVolume) await expect(plan).resolves.toHaveLength(2);
      else
        await expect(plan).rejects.toMatchObject({
          code: "USAGE",
          message: expect.stringContaining("/var/spool/cyrus/backup"),
        });
    },
  );

  test("is refused on what is no volume, and on a bind mount", async () => {
    const { machine, provider } = SITES.lvm();
    machine.mount("/crypt", "ext4", "/dev/dm-7", "253:7");
    await expect(provider.plan(placesAt("/crypt/spool"))).rejects.toMatchObject({ code: "USAGE" });
    machine.mount("/bound", "xfs", "/dev/mapper/vg0-spool", "253:1", "/mail");
    await expect(provider.plan(placesAt("/bound"))).rejects.toThrow("bind mount of /mail");
  });
});

test("of subvolumes inside only snapshots of ours are passed over, not what somebody else has named like them", async () => {
  const { machine, provider } = SITES.btrfs();
  const run = machine.run.bind(machine);
  const names = ["archive", ".cyrvault-mine", ".cyrvault-20261122-031500-3f2a-1"];
  machine.run = async (argv, options) => {
    const [, , what, , place] = argv;
    const result = await run(argv, options);
    if (what !== "list" || place !== "/var/spool/cyrus") return result;
    return { ...result, stdout: names.map((name) => `ID 300 gen 9 top level 5 path ${name}\n`).join("") };
  };
  const plan = await provider.plan(placesAt("/var/spool/cyrus"));
  expect(plan.map((line) => line.split(" subvolume ")[1])).toEqual([
    "/var/spool/cyrus",
    "/var/spool/cyrus/archive",
    "/var/spool/cyrus/.cyrvault-mine",
  ]);
});

test("the subvolume that holds the snapshots is taken first: it must not hold their empty places", async () => {
  const machine = new Machine();
  machine.mount("/srv", "btrfs", "/dev/sda2", "0:30");
  machine.directory("/srv", 256n);
  machine.directory("/srv/conf", 256n);
  const { provider } = {
    provider: new (await import("../../../src/snapshot/provider-btrfs.ts")).BtrfsProvider(machine, "x"),
  };
  const plan = await provider.plan(placesAt("/srv/conf/db", "/srv/spool"));
  expect(plan).toEqual([
    "a snapshot /srv/.cyrvault-x-1 of the subvolume /srv",
    "a snapshot /srv/.cyrvault-x-2 of the subvolume /srv/conf",
  ]);
  machine.directory("/srv", 4711n);
  await expect(provider.plan(placesAt("/srv/spool"))).rejects.toThrow("no subvolume, but a part of one");
});

test("the root filesystem becomes the root of the view", async () => {
  const machine = new Machine();
  machine.mount("/", "zfs", "rpool/root", "0:30");
  const { ZfsProvider } = await import("../../../src/snapshot/provider-zfs.ts");
  const provider = new ZfsProvider(machine, "x");
  await provider.plan(placesAt("/var/spool/cyrus"));
  const { root, mappings } = await provider.take(placesAt("/var/spool/cyrus"), held);
  expect([root, mappings]).toEqual(["/.zfs/snapshot/cyrvault-x", []]);
});

test.each([
  [
    "out of space",
    1,
    (machine: Machine): void => {
      machine.zfsProblem = "out of space";
    },
    "out of space; no snapshots were created",
  ],
  [
    "permission denied",
    1,
    (machine: Machine): void => {
      machine.zfsProblem = "permission denied";
    },
    "permission denied; no snapshots were created",
  ],
  [
    "a dataset that is gone",
    2,
    (machine: Machine): void => {
      machine.mounts.length = 0;
    },
    "cannot open 'tank/conf': dataset does not exist",
  ],
] as const)("ZFS: %s is told as the tool tells it, and nothing is made", async (_, exitCode, spoil, said) => {
  const machine = new Machine();
  machine.mount("/conf", "zfs", "tank/conf", "0:40");
  machine.mount("/spool", "zfs", "tank/spool", "0:41");
  const { ZfsProvider } = await import("../../../src/snapshot/provider-zfs.ts");
  const provider = new ZfsProvider(machine, "x");
  await provider.plan(placesAt("/conf", "/spool"));
  spoil(machine);
  await expect(provider.take(placesAt("/conf", "/spool"), held)).rejects.toMatchObject({
    code: "SNAPSHOT_FAILED",
    message: expect.stringContaining(said),
    context: { exitCode },
  });
  expect(machine.zfsSnapshots.size).toBe(0);
});

describe("a command", () => {
  const made = (printed: string, writesOut = false) => {
    const machine = new Machine();
    for (const path of ["/mnt/a", "/mnt/b"]) machine.directory(path);
    machine.printed = printed;
    const hooks = { make: "make", remove: "remove", stamp: "x" };
    const provider = new CommandProvider({ ...hooks, writesOut }, machine);
    const places = placesAt("/conf", "/spool");
    return { machine, plan: () => provider.plan(places), take: () => provider.take(places, held) };
  };

  test.each([["/conf=/mnt/a\n\n/spool=/mnt/b/\n"], ['{"/conf": "/mnt/a", "/spool": "/mnt/b"}']])(
    "prints where the roots lie, as lines or JSON: %j",
    async (printed) => {
      const { machine, take } = made(printed);
      expect((await take()).mappings).toEqual([
        { from: "/conf", to: "/mnt/a" },
        { from: "/spool", to: "/mnt/b" },
      ]);
      expect(machine.hookEnvironment).toEqual({
        CYRVAULT_SNAPSHOT: "cyrvault-x",
        CYRVAULT_ROOTS: "/conf\n/spool",
      });
    },
  );

  test("of a server at rest begins when what is in memory of each filesystem is on its disk", async () => {
    const { machine, plan, take } = made("/=/mnt/a", true);
    for (const point of ["/", "/spool"]) machine.mount(point, "xfs", "/dev/sda1", `8:${point.length}`);
    expect(await plan()).toContain("write out what is still in memory of /, /spool");
    await take();
    expect(machine.commands).toEqual(["sync -f /", "sync -f /spool", "/bin/sh -c make"]);
  });

  test.each([
    ["/conf=/mnt/a", "does not say where /spool lies"],
    ["/=/", "that is no view"],
    ["/=/mnt/none", "there is no /mnt/none"],
    ["ready\n/=/mnt/a", "printed «ready»"],
    ["{", "JSON that cannot be read"],
    ['{"/": 5}', "printed «/=5»"],
    ["/=/mnt/a\n/spool=/mnt/a\n/spool=/mnt/b", "says twice where /spool lies"],
  ])("that prints %j is refused", async (printed, why) => {
    await expect(made(printed).take()).rejects.toMatchObject({
      code: "SNAPSHOT_FAILED",
      message: expect.stringContaining(why),
    });
  });

  test("may print paths with an = or a line end in them as JSON", async () => {
    const { machine, take } = made('{"/": "/mnt/a=b\\n"}');
    machine.directory("/mnt/a=b\n");
    expect((await take()).root).toBe("/mnt/a=b\n");
  });

  test.each([
    ["xfs", "rejects"],
    ["nfs4", "resolves"],
  ] as const)(
    "that names the live directory by another name is refused, of a filer's (%s) nobody can tell",
    async (type, how) => {
      const { machine, take } = made("/conf=/mnt/a\n/spool=/mnt/b");
      machine.mount("/mnt", type, "somewhere", "8:7");
      for (const path of ["/spool/.", "/mnt/b/."]) machine.directory(path, 77n);
      const taken = expect(take())[how];
      if (how === "rejects") await taken.toThrow("/spool lies where it always does: that is no view");
      else await taken.toMatchObject({ isAtomic: true });
    },
  );
});

describe("none", () => {
  const config = fromText("/etc/imapd.conf");
  const cyrus = [process(7, 1, 0, "/usr/sbin/cyrmaster", "-C", "/etc/imapd.conf")];
  const provider = (
    given: { root?: string; allowTorn?: boolean; isHeldStill?: boolean },
    processes: readonly HostProcess[],
    written: readonly string[] = [],
  ) =>
    new NoneProvider(
      {
        view: new SourceView(fromText(given.root ?? "/"), []),
        configPath: config,
        allowTorn: given.allowTorn ?? false,
        isHeldStill: given.isHeldStill ?? false,
        advice: () => "cyrvault backup --snapshot lvm",
      },
      () => madeUpHost({ processes, openForWriting: () => written.map(fromText) }),
    );
  const places = placesAt("/var/spool/cyrus");

  test("is refused where a Cyrus runs on the tree, with what to do instead", async () => {
    await expect(provider({}, cyrus).plan(places)).rejects.toMatchObject({
      code: "USAGE",
      hint: expect.stringContaining("cyrvault backup --snapshot lvm"),
    });
  });

  test("is refused where somebody writes below the roots, though no master is seen", async () => {
    const job = [process(9, 1, 0, "cyr_expire")];
    const work = provider({}, job, ["/var/spool/cyrus/a/cyrus.index"]).plan(places);
    await expect(work).rejects.toMatchObject({
      code: "USAGE",
      message: expect.stringContaining("cyr_expire"),
    });
  });

  test("reads a snapshot beside a running Cyrus, and a tree on which nobody works", async () => {
    await expect(provider({ root: "/mnt/s" }, cyrus).plan(places)).resolves.toEqual([]);
    await expect(provider({}, []).plan(places)).resolves.toEqual([]);
    await expect(provider({ isHeldStill: true }, cyrus).plan(places)).resolves.toEqual([]);
  });

  test("goes on where that is allowed, and the view says that it may be torn", async () => {
    const torn = provider({ allowTorn: true }, cyrus);
    await torn.plan(places);
    expect((await torn.take(places)).torn).toContain("process 7");
  });
});
