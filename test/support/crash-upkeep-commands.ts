/** Commands of upkeep, each as it is interrupted and run again: mending, unlocking, holding off, keys, the folder recovery/. */
import { hostname } from "node:os";
import { fromText } from "../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../src/base/errors.ts";
import type { FileSystem } from "../../src/base/file-system.ts";
import { silentLogger } from "../../src/base/log.ts";
import { Progress } from "../../src/base/progress.ts";
import { runCheck } from "../../src/check/run.ts";
import { assembleMessage } from "../../src/chunker/assemble.ts";
import { addAcceptRules, readAcceptRules } from "../../src/inspect/accepted.ts";
import { Keyring } from "../../src/keys/keyring.ts";
import { mailboxPages } from "../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../src/manifest/message-page.ts";
import { readPageTree } from "../../src/manifest/read-page-tree.ts";
import { decodeRoot } from "../../src/manifest/root.ts";
import { refreshRecovery } from "../../src/recovery/refresh.ts";
import { runRepair } from "../../src/repair/run.ts";
import { holdOff } from "../../src/retention/prune/hold-off.ts";
import { readHolds, removeHold } from "../../src/retention/prune/holds.ts";
import { planUnlock, runUnlock } from "../../src/retention/prune/unlock.ts";
import { SourceView } from "../../src/source/view.ts";
import { packName } from "../../src/store/pack-types.ts";
import type { Repository } from "../../src/store/repository.ts";
import { isHere } from "../../src/store/stale-run.ts";
import type { OwnPacks } from "../../src/store/vouching.ts";
import {
  inRepository,
  missingBackups,
  NEW_PASSWORD,
  opens,
  prepareTwoDays,
  withKeyring,
} from "./crash-commands.ts";
import type { CrashCommand } from "./crash-points.ts";
import { backendOn, CHEAP, type CrashSite, digestOf, PLACE } from "./crash-site.ts";

const HERE = isHere(hostname());
const RUNBOOK = "what to do, in order";
const WRITER = { kind: "secret-file", bytes: Buffer.from(Array.from({ length: 64 }, (_, i) => i)) } as const;

/** Flips a bit where the newest message of the newest backup lies: the backups before it do not have it. */
async function damageNewestMessage(site: CrashSite): Promise<void> {
  const { name, at } = await site.withRepository(site.disk, async (repository) => {
    const { objects } = repository;
    const newest = (await repository.listBackups()).at(-1)?.id as string;
    const root = decodeRoot(await repository.readBackup(newest));
    for await (const mailbox of readPageTree(root.mailboxes, objects, mailboxPages)) {
      let last: Parameters<typeof objects.locate>[1] | undefined;
      for await (const { object } of readPageTree(mailbox.messagePages, objects, messagePages)) last = object;
      if (mailbox.name !== "user.anna" || last === undefined) continue;
      const copy = await objects.locate("message", last);
      if (copy === undefined) break;
      const { offset } = copy.pack.directory.blockAt(copy.pack.directory.place(copy.ordinal).block);
      return { name: packName(copy.pack.packId), at: offset + 10 };
    }
    throw new Error("there is no such message");
  });
  const path = `${PLACE}/${name}`;
  const bytes = Buffer.from(site.disk.files().get(path) as Buffer);
  bytes[at] = (bytes[at] as number) ^ 4;
  await site.disk.unlink(path);
  const file = await site.disk.create(path, 0o600);
  await file.write(bytes, 0, bytes.length, null);
  await file.close();
  site.disk = site.disk.copy();
}

/** As the command does it. */
async function repair(site: CrashSite, repository: Repository, spool: SourceView | undefined): Promise<void> {
  const common = { repository, clock: site.clock, progress: new Progress() };
  const found = await runCheck({ readDataPercent: 100 }, { ...common, assemble: assembleMessage });
  if (found.errorsTotal === 0) return;
  await runRepair(
    { damagedFiles: found.damagedFiles, dryRun: false },
    { ...common, other: undefined, spool, log: silentLogger },
  );
}

const afterCut = new WeakMap<CrashSite, string>();

/** The first backup, and one that stands in the place of the second, with the same content each time. */
async function missingAfterCut(site: CrashSite, disk: FileSystem): Promise<string[]> {
  return await site.withRepository(disk, async (repository) => {
    const [first, second, ...further] = (await repository.listBackups()).map(({ id }) => id);
    if (first === undefined || second === undefined || further.length > 0 || site.givenUp.has(second))
      return [`these backups are in the list: ${[first, second, ...further].join(", ")}`];
    const digest = await digestOf(repository, await repository.readBackup(second));
    if (!afterCut.has(site)) afterCut.set(site, digest);
    return afterCut.get(site) === digest ? [] : ["another content than that of an undisturbed repair"];
  });
}

class Remembered implements OwnPacks {
  readonly secret: Uint8Array = Buffer.alloc(32, "kept outside");
  readonly #all = new Set<string>();
  has(hex: string): boolean {
    return this.#all.has(hex);
  }
  add(hex: string): void {
    this.#all.add(hex);
  }
}

/** With the key that may only write, and what its machine remembers: of all packs, also of those that a power cut takes. */
const memories = new WeakMap<CrashSite, Remembered>();
const asWriter = (site: CrashSite) => {
  const memory = memories.get(site) ?? new Remembered();
  memories.set(site, memory);
  return { as: { password: WRITER, ownPacks: () => memory } };
};

async function addWriter(site: CrashSite, disk: FileSystem): Promise<void> {
  const keyring = await Keyring.open(backendOn(disk), site.password);
  await keyring.addWriteOnly(WRITER, { nowMs: site.clock.nowMs(), scrypt: CHEAP, here: HERE });
}

async function opensAsWriter(disk: FileSystem): Promise<boolean> {
  try {
    await Keyring.open(backendOn(disk), WRITER);
    return false;
  } catch (error) {
    return isCyrvaultError(error, "KEY_WRITE_ONLY");
  }
}

const noDeadRun = async (site: CrashSite, disk: FileSystem): Promise<string[]> =>
  await site.withRepository(disk, async (repository) => {
    const { going } = await planUnlock(repository, site.clock, HERE, false);
    return going.map(({ run }) => `run ${run} is left`);
  });

/** As a machine leaves them that lost its power; three hours later it is known. */
async function leaveDeadRuns(site: CrashSite): Promise<void> {
  await prepareTwoDays(site);
  await site.withRepository(site.disk, async (repository) => {
    for (const server of ["one.example.org", "two.example.org"]) {
      await repository.startRun({ server, host: "another machine" });
      const disk = site.disk.copy();
      await repository.close();
      site.disk = disk;
    }
  });
  site.clock.advance(3 * 3_600_000);
}

const facts = ({ id, encrypted }: Repository) => ({ id, encrypted, version: "1.2.3" });

const RULE = "file-changed:/var/lib/cyrus";

export const UPKEEP_COMMANDS: readonly CrashCommand[] = [
  {
    name: "repair, from the server's files",
    mends: /^check: |cannot be read/,
    prepare: async (site) => {
      await prepareTwoDays(site);
      await damageNewestMessage(site);
    },
    run: inRepository((repository, site) =>
      repair(site, repository, new SourceView(fromText(site.server.root), [])),
    ),
    missing: async () => [],
  },
  {
    name: "repair that cuts",
    mends: /^check: /,
    prepare: async (site) => {
      await prepareTwoDays(site);
      await damageNewestMessage(site);
      const last = [...site.completed.keys()].at(-1) as string;
      site.completed.delete(last);
      site.givenUp.add(last);
    },
    run: inRepository((repository, site) => repair(site, repository, undefined)),
    missing: missingAfterCut,
  },
  {
    name: "check that remembers what it has read",
    onlyNotes: true,
    prepare: prepareTwoDays,
    run: inRepository((repository, site) =>
      runCheck(
        { readDataPercent: 100 },
        { repository, assemble: assembleMessage, clock: site.clock, progress: new Progress() },
      ),
    ),
    missing: async () => [],
  },
  {
    name: "unlock",
    prepare: leaveDeadRuns,
    run: inRepository(async (repository, site) => {
      await runUnlock(repository, site.clock, await planUnlock(repository, site.clock, HERE, false));
    }),
    missing: noDeadRun,
  },
  {
    name: "prune --hold-off",
    prepare: prepareTwoDays,
    run: inRepository((repository, site) =>
      holdOff({ repository, clock: site.clock, here: HERE }, { forMs: 1e9, reason: "a copy is made" }),
    ),
    missing: (site, disk) =>
      site.withRepository(disk, async (repository) =>
        (await readHolds(repository)).length > 0 ? [] : ["nothing is held off"],
      ),
  },
  {
    name: "prune --release",
    prepare: async (site) => {
      await prepareTwoDays(site);
      for (const reason of ["one", "two"])
        await inRepository((repository) =>
          holdOff({ repository, clock: site.clock, here: HERE }, { forMs: 1e9, reason }),
        )(site, site.disk);
    },
    run: inRepository(async (repository) => {
      for (const { id } of await readHolds(repository)) await removeHold(repository, id);
    }),
    missing: (site, disk) =>
      site.withRepository(disk, async (repository) =>
        (await readHolds(repository)).map(({ id }) => `hold ${id} is left`),
      ),
  },
  {
    name: "findings --accept",
    prepare: async (site) => {
      await prepareTwoDays(site);
      await inRepository((repository) => addAcceptRules(repository, "mx", ["file-vanished"]))(
        site,
        site.disk,
      );
    },
    run: inRepository((repository) => addAcceptRules(repository, "mx", [RULE])),
    missing: (site, disk) =>
      site.withRepository(disk, async (repository) => {
        const rules = await readAcceptRules(repository, "mx");
        return rules.length === 2 ? [] : [`the rules are ${rules.join(", ")}`];
      }),
  },
  {
    name: "backup that writes recovery/",
    prepare: async (site) => {
      await site.init(site.disk);
      await site.completeBackup();
      site.deliver("user.bert", 2);
    },
    run: async (site, disk) => {
      await site.backUp(
        disk,
        {},
        {
          afterwards: async (repository, root) => {
            await refreshRecovery(repository.backend, facts(repository), { root, runbook: RUNBOOK });
          },
        },
      );
    },
    missing: async (site, disk) => [
      ...(await missingBackups(site, disk, [undefined])),
      ...(await site.withRepository(disk, async (repository) => {
        const { backend } = repository;
        const newest = (await repository.listBackups()).at(-1)?.id as string;
        const root = decodeRoot(await repository.readBackup(newest));
        const written = await refreshRecovery(backend, facts(repository), { root, runbook: RUNBOOK });
        return written.map((name) => `${name} was not as it should be`);
      })),
    ],
  },
  {
    name: "key remove",
    isEncryptedOnly: true,
    prepare: async (site) => {
      await prepareTwoDays(site);
      for (const password of [NEW_PASSWORD, "a third one"])
        await withKeyring(site, site.disk, (keyring) =>
          keyring.add(password, { nowMs: site.clock.nowMs(), scrypt: CHEAP }),
        );
    },
    run: (site, disk) =>
      withKeyring(site, disk, async (keyring) => {
        const others = (await keyring.list()).filter(({ inUse }) => !inUse).map(({ id }) => id);
        if (others.length > 0) await keyring.remove(await keyring.planRemoval(others));
      }),
    missing: async (site, disk) =>
      (await opens(disk, site.password as string)) &&
      !(await opens(disk, NEW_PASSWORD)) &&
      !(await opens(disk, "a third one"))
        ? []
        : ["not the old password alone opens it"],
  },
  {
    name: "key add --write-only",
    isEncryptedOnly: true,
    prepare: prepareTwoDays,
    run: addWriter,
    missing: async (_, disk) => ((await opensAsWriter(disk)) ? [] : ["the new key does not open"]),
  },
  {
    name: "backup with a key that may only write",
    isEncryptedOnly: true,
    prepare: async (site) => {
      await site.init(site.disk);
      await addWriter(site, site.disk);
      await site.completeBackup({}, asWriter(site));
      site.deliver("user.anna", 2);
      site.server.add("user.bert.New", ["the first"]);
    },
    run: async (site, disk) => {
      await site.backUp(disk, { checkpointBytes: 4000 }, asWriter(site));
    },
    missing: (site, disk) => missingBackups(site, disk, [undefined]),
  },
];
