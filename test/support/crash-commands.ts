/** The commands that change a repository, each as it is interrupted and run again. */
import { hostname } from "node:os";
import { isCyrvaultError } from "../../src/base/errors.ts";
import type { FileSystem } from "../../src/base/file-system.ts";
import { Progress } from "../../src/base/progress.ts";
import { assembleMessage } from "../../src/chunker/assemble.ts";
import { readBackups } from "../../src/inspect/backups.ts";
import { Keyring } from "../../src/keys/keyring.ts";
import { readAllTags, writeTags } from "../../src/retention/backup-tags.ts";
import { planByPolicy, runForget } from "../../src/retention/forget.ts";
import { NO_RULES } from "../../src/retention/policy.ts";
import { type PruneOptions, planPrune } from "../../src/retention/prune/plan.ts";
import { runPrune } from "../../src/retention/prune/run.ts";
import { undelete } from "../../src/retention/undelete.ts";
import { listForgotten } from "../../src/store/forgotten.ts";
import { rebuildIndex } from "../../src/store/rebuild-index.ts";
import type { Repository } from "../../src/store/repository.ts";
import { SEGMENTS_MAX } from "../../src/store/segment-merge.ts";
import { isHere } from "../../src/store/stale-run.ts";
import type { TinyMailbox } from "../unit/backup/tiny-server.ts";
import type { CrashCommand } from "./crash-points.ts";
import { backendOn, CHEAP, type CrashSite, digestOf } from "./crash-site.ts";

const OTHER = "other.example.org";

export async function prepareTwoDays(site: CrashSite): Promise<void> {
  await site.init(site.disk);
  await site.completeBackup();
  site.deliver("user.anna", 4);
  await site.completeBackup();
}

async function forgetAllButOne(site: CrashSite, disk: FileSystem): Promise<void> {
  await site.withRepository(disk, async (repository) => {
    const nowMs = site.clock.nowMs();
    const roots = readBackups(repository, (_, error) => {
      throw error;
    });
    const plan = await planByPolicy(roots, new Map(), { ...NO_RULES, last: 1 }, nowMs);
    await runForget(plan, repository, nowMs, new AbortController().signal);
  });
}

/** Of backups newer than those that were completed before: whose content is what the server has. */
export async function missingBackups(
  site: CrashSite,
  disk: FileSystem,
  servers: readonly (string | undefined)[],
): Promise<string[]> {
  return await site.withRepository(disk, async (repository) => {
    const made = new Set<string>();
    for (const { id } of await repository.listBackups()) {
      if (site.completed.has(id)) continue;
      made.add(await digestOf(repository, await repository.readBackup(id)));
    }
    const missing: string[] = [];
    for (const server of servers)
      if (!made.has(await site.digestNow(server)))
        missing.push(`no backup of ${server ?? "the server"} as it is`);
    return missing;
  });
}

const backup = (
  name: string,
  prepare: (site: CrashSite) => Promise<void>,
  options: Parameters<CrashSite["backUp"]>[1] = {},
): CrashCommand => ({
  name,
  prepare,
  run: async (site, disk) => {
    await site.backUp(disk, options);
  },
  missing: (site, disk) => missingBackups(site, disk, [undefined]),
});

export const inRepository =
  (use: (repository: Repository, site: CrashSite) => Promise<unknown>) =>
  async (site: CrashSite, disk: FileSystem): Promise<void> => {
    await site.withRepository(disk, async (repository) => {
      await use(repository, site);
    });
  };

const nothing = async () => [];

/** Much of what the first day stored is needed by nobody any more. */
async function prepareForgotten(site: CrashSite): Promise<void> {
  await site.init(site.disk);
  await site.completeBackup();
  site.server.remove(site.server.mailboxes.get("user.bert") as TinyMailbox);
  site.deliver("user.anna", 2);
  await site.completeBackup();
  await forgetAllButOne(site, site.disk);
  // Whole or gone, that is all they have to be from now on.
  const [first] = [...site.completed.keys()];
  site.completed.delete(first as string);
}

const AT_ONCE: PruneOptions = { graceMs: 0, maxUnused: 0, repackBytesMax: 1e12 };

const GRACE: PruneOptions = { ...AT_ONCE, graceMs: 10 * 86_400_000 };

const pruneParts = (site: CrashSite, repository: Repository) => ({
  repository,
  clock: site.clock,
  progress: new Progress(),
  here: isHere(hostname()),
  assemble: assembleMessage,
});

const prune = (
  name: string,
  prepare: (site: CrashSite) => Promise<void>,
  options: PruneOptions = AT_ONCE,
): CrashCommand => ({
  name,
  prepare,
  run: inRepository((repository, site) => runPrune(options, pruneParts(site, repository))),
  missing: (site, disk) =>
    site.withRepository(disk, async (repository) => {
      const plan = await planPrune(options, pruneParts(site, repository));
      const left = { forgotten: plan.forgotten, mark: plan.mark, sweep: plan.sweep, leftOver: plan.leftOver };
      return Object.entries(left).flatMap(([what, { length }]) =>
        length === 0 ? [] : [`${length} of ${what} are left`],
      );
    }),
});

export const NEW_PASSWORD = "battery staple";

/** As a person would try: the password that is to go, then the other one. */
export async function withKeyring(
  site: CrashSite,
  disk: FileSystem,
  use: (keyring: Keyring) => Promise<unknown>,
): Promise<void> {
  const password = (await opens(disk, site.password as string)) ? site.password : NEW_PASSWORD;
  await use(await Keyring.open(backendOn(disk), password));
}

export async function opens(disk: FileSystem, password: string): Promise<boolean> {
  try {
    await Keyring.open(backendOn(disk), password);
    return true;
  } catch (error) {
    if (!isCyrvaultError(error, "PASSWORD_WRONG")) throw error;
    return false;
  }
}

export const CRASH_COMMANDS: readonly CrashCommand[] = [
  {
    name: "init",
    makesRepository: true,
    prepare: nothing as () => Promise<never>,
    run: async (site, disk) => {
      try {
        await site.init(disk);
      } catch (error) {
        // It was done already.
        if (!isCyrvaultError(error, "REPOSITORY_EXISTS")) throw error;
      }
    },
    missing: (site, disk) => site.withRepository(disk, nothing),
  },
  backup("first backup", (site) => site.init(site.disk)),
  backup("first backup with checkpoints", (site) => site.init(site.disk), { checkpointBytes: 4000 }),
  backup("second backup", async (site) => {
    await site.init(site.disk);
    await site.completeBackup();
    site.deliver("user.anna", 4);
    site.deliver("user.bert", 1);
    site.server.add("user.bert.New", ["the first"]);
  }),
  backup("second backup, with an object index that knows all of it already", async (site) => {
    site.cacheDirectory = site.dir.in("cache");
    await prepareTwoDays(site);
    site.deliver("user.bert", 4);
  }),
  backup("backup that merges segments", async (site) => {
    await site.init(site.disk);
    for (let i = 0; i < SEGMENTS_MAX; i++) {
      site.deliver("user.anna", 1);
      await site.completeBackup();
    }
    site.deliver("user.bert", 1);
  }),
  {
    name: "backups of two servers at once",
    prepare: async (site) => {
      await prepareTwoDays(site);
      site.deliver("user.anna.Sent", 3);
    },
    run: async (site, disk) => {
      const ended = await Promise.allSettled([
        site.backUp(disk, { server: OTHER, checkpointBytes: 4000 }),
        site.backUp(disk, { checkpointBytes: 4000 }),
      ]);
      for (const end of ended) if (end.status === "rejected") throw end.reason;
    },
    missing: (site, disk) => missingBackups(site, disk, [OTHER, undefined]),
  },
  {
    name: "forget",
    prepare: async (site) => {
      await prepareTwoDays(site);
      site.deliver("user.bert", 1);
      await site.completeBackup();
    },
    run: forgetAllButOne,
    missing: (site, disk) =>
      site.withRepository(disk, async (repository) => {
        const { length } = await repository.listBackups();
        return length === 1 ? [] : [`${length} backups are in the list`];
      }),
  },
  {
    name: "undelete",
    prepare: async (site) => {
      await prepareTwoDays(site);
      await forgetAllButOne(site, site.disk);
    },
    run: inRepository(async (repository) => {
      for (const id of await listForgotten(repository.backend)) await undelete(repository, id, hostname());
    }),
    missing: (site, disk) =>
      site.withRepository(disk, async (repository) => {
        const { length } = await repository.listBackups();
        return length === 2 ? [] : [`${length} backups are in the list`];
      }),
  },
  {
    name: "tag",
    prepare: async (site) => {
      await prepareTwoDays(site);
      const [first] = [...site.completed.keys()];
      await inRepository((repository) =>
        writeTags(repository, first as string, { tags: ["old"], hold: undefined }),
      )(site, site.disk);
    },
    run: inRepository(async (repository, site) => {
      for (const id of site.completed.keys())
        await writeTags(repository, id, { tags: ["monthly"], hold: "audit" });
    }),
    missing: (site, disk) =>
      site.withRepository(disk, async (repository) => {
        const tags = await readAllTags(repository, () => undefined);
        return [...site.completed.keys()].flatMap((id) =>
          tags.get(id)?.tags[0] === "monthly" && tags.get(id)?.hold === "audit" ? [] : [`${id} has no tag`],
        );
      }),
  },
  {
    name: "rebuild-index from packs",
    prepare: prepareTwoDays,
    run: inRepository((repository) => rebuildIndex(repository, { from: "packs" })),
    missing: nothing,
  },
  {
    name: "rebuild-index from segments, one of which is lost",
    mends: /no segment covers/,
    prepare: async (site) => {
      await prepareTwoDays(site);
      const lost = [...site.disk.files().keys()].find((path) => path.includes("/segments/"));
      await site.disk.unlink(lost as string);
    },
    run: inRepository((repository) => rebuildIndex(repository, { from: "segments" })),
    missing: nothing,
  },
  prune("prune", prepareForgotten),
  {
    name: "prune beside a backup",
    prepare: async (site) => {
      await prepareForgotten(site);
      site.deliver("user.anna", 3);
    },
    run: async (site, disk) => {
      const ended = await Promise.allSettled([
        site.backUp(disk, { checkpointBytes: 4000 }),
        inRepository((repository) => runPrune(AT_ONCE, pruneParts(site, repository)))(site, disk),
      ]);
      for (const end of ended) if (end.status === "rejected") throw end.reason;
    },
    missing: (site, disk) => missingBackups(site, disk, [undefined]),
  },
  prune(
    "prune of what an earlier one has marked",
    async (site) => {
      await prepareForgotten(site);
      await inRepository((repository) => runPrune(GRACE, pruneParts(site, repository)))(site, site.disk);
      site.clock.advance(2 * GRACE.graceMs);
    },
    GRACE,
  ),
  {
    name: "key add",
    isEncryptedOnly: true,
    prepare: prepareTwoDays,
    run: (site, disk) =>
      withKeyring(site, disk, (keyring) =>
        keyring.add(NEW_PASSWORD, { nowMs: site.clock.nowMs(), scrypt: CHEAP }),
      ),
    missing: async (site, disk) =>
      (await opens(disk, NEW_PASSWORD)) && (await opens(disk, site.password as string))
        ? []
        : ["a password does not open"],
  },
  {
    name: "key passwd",
    isEncryptedOnly: true,
    prepare: async (site) => {
      await prepareTwoDays(site);
      site.furtherPasswords.push(NEW_PASSWORD);
    },
    run: (site, disk) =>
      withKeyring(site, disk, async (keyring) => {
        const cost = { nowMs: site.clock.nowMs(), scrypt: CHEAP };
        await keyring.replace(keyring.planReplacement(), NEW_PASSWORD, cost);
      }),
    missing: async (site, disk) =>
      (await opens(disk, NEW_PASSWORD)) && !(await opens(disk, site.password as string))
        ? []
        : ["not the new password alone opens it"],
  },
];
