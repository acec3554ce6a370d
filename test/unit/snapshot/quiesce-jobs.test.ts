import { expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { viewFindings } from "../../../src/snapshot/consistency.ts";
import { JobsQuiesce } from "../../../src/snapshot/quiesce-jobs.ts";
import { PLACES, World } from "./quiesce-world.ts";

const SPOOL_MOUNT = "21 20 8:2 / /var/spool rw - xfs /dev/sda2 rw\n";

function siteWith(mounts: string): { readonly world: World; readonly jobs: JobsQuiesce } {
  const world = new World();
  world.more = { mountInfo: fromText(`20 1 8:1 / / rw - ext4 /dev/sda1 rw\n${mounts}`) };
  world.runCyrus();
  world.runJob(812, "cyr_expire");
  return { world, jobs: new JobsQuiesce({ host: world, waitMs: 60_000, log: world.logger }) };
}

test("before snapshots one after the other a cyr_expire is waited for, users are not", async () => {
  const { world, jobs } = siteWith(SPOOL_MOUNT);
  expect(await jobs.plan(PLACES)).toEqual([expect.stringContaining("cyr_expire (process 812")]);
  world.after(5000, () => world.endJob(812));
  await jobs.begin(PLACES, world);
  expect(world.nowValue).toBe(1_005_000);
  expect(await jobs.end()).toEqual({ heldMs: 0, broken: undefined });
});

test("who does not end in time is not waited for any longer, and named in the finding", async () => {
  const { world, jobs } = siteWith(SPOOL_MOUNT);
  await jobs.begin(PLACES, world);
  expect(world.nowValue).toBe(1_060_000);
  const { busy } = await jobs.end();
  const view = { isAtomic: false, torn: undefined, mappings: [] };
  const cut = {
    provider: "lvm",
    isFrozen: true,
    quiesce: "none",
    view,
    broken: undefined,
    busy,
    uncovered: [],
  } as const;
  expect(viewFindings(cut)[0]?.message).toContain("cyr_expire (process 812, /var/spool/cyrus");
});

test("one filesystem is frozen at one moment: nobody is waited for", async () => {
  const { world, jobs } = siteWith("");
  expect(await jobs.plan(PLACES)).toEqual([]);
  await jobs.begin(PLACES, world);
  expect(world.nowValue).toBe(1_000_000);
});

test("interrupted while it waits, it ends", async () => {
  const { world, jobs } = siteWith(SPOOL_MOUNT);
  const interrupted = new AbortController();
  world.after(2000, () => interrupted.abort(new CyrvaultError("INTERRUPTED", "interrupted")));
  await expect(jobs.begin(PLACES, world, interrupted.signal)).rejects.toMatchObject({ code: "INTERRUPTED" });
});
