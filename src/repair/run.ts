/**
 * A repair, from what a check found: small records → what of damaged packs can still be read is saved → what cannot is
 * taken again from elsewhere → what is lost for good is cut out of the backups, visibly → damaged packs are set aside →
 * look-up tables are made anew. Nothing goes from its place before all that is needed of it lies in another.
 */
import { hostname } from "node:os";
import type { ByteString } from "../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { findInPageTree } from "../manifest/read-page-tree.ts";
import { encodeRoot } from "../manifest/root.ts";
import { SuffererWalk } from "../manifest/sufferers.ts";
import { forgetBackup } from "../store/forgotten.ts";
import { appendGcRecord, readGcState } from "../store/gc-record.ts";
import { ObjectHasher } from "../store/object-id.ts";
import { type PackId, packName, parsePackName } from "../store/pack-types.ts";
import { rebuildIndex } from "../store/rebuild-index.ts";
import type { Run } from "../store/run.ts";
import { RUNS_PREFIX, readRun } from "../store/run-record.ts";
import { SEGMENTS_PREFIX } from "../store/segment-format.ts";
import { isHere, isStaleRun } from "../store/stale-run.ts";
import { cutBackup, rangeOf } from "./cut.ts";
import type {
  LostThing,
  RecordMended,
  RepairContext,
  RepairedBackup,
  RepairOptions,
  RepairResult,
} from "./options.ts";
import { placeOfCut } from "./place-of-cut.ts";
import { PageRebuilder } from "./rebuild-pages.ts";
import { mendRecords } from "./records.ts";
import { haveSameIds, Recovery } from "./recovery.ts";
import { Retaker } from "./retake.ts";
import { type KnownRoot, readRoots } from "./roots.ts";
import { Saver } from "./saver.ts";
import { copyAside, setAside } from "./set-aside.ts";

const LOST_KEPT = 1000;
/** What the runs of a repair are kept under: not a server, so that checkpoints of servers are left alone. */
const RUN_NAME = "(repair)";

/**
 * @throws {CyrvaultError} `LOCKED`: somebody writes to the repository. `IO`: the disk cannot be read; what was done so
 *   far is consistent.
 */
export async function runRepair(options: RepairOptions, context: RepairContext): Promise<RepairResult> {
  return await new RepairRun(options, context).run();
}

class RepairRun {
  readonly #options: RepairOptions;
  readonly #context: RepairContext;
  /** Hex to id. */
  readonly #damaged = new Map<string, PackId>();
  readonly #lost: LostThing[] = [];
  #lostTotal = 0;
  readonly #backups: RepairedBackup[] = [];
  readonly #records: RecordMended[] = [];
  readonly #kept: RecordMended[] = [];
  readonly #setAside: string[] = [];

  constructor(options: RepairOptions, context: RepairContext) {
    this.#options = options;
    this.#context = context;
    for (const name of options.damagedFiles) {
      const packId = parsePackName(name);
      if (packId !== undefined) this.#damaged.set(Buffer.from(packId).toString("hex"), packId);
    }
  }

  async run(): Promise<RepairResult> {
    const { repository, other, clock, progress } = this.#context;
    const { dryRun, damagedFiles } = this.#options;
    const began = clock.monotonicMs();
    if (!dryRun) repository.requireWritable();
    await this.#refuseWriters();
    progress.beginPhase("records", began);
    const twin = other !== undefined && haveSameIds(repository, other) ? other : undefined;
    const { records, substitutes, lostBackups } = await mendRecords({
      repository,
      twin,
      damagedFiles,
      dryRun,
    });
    this.#records.push(...records);
    for (const backup of lostBackups) {
      this.#backups.push({ backup, became: undefined, lost: 1, messagesRebuilt: 0 });
      this.#noteLost({ backup, path: "/", message: "the whole backup: its root" });
    }
    const roots = await readRoots(repository, substitutes);

    progress.beginPhase("saving", clock.monotonicMs(), undefined, "objects");
    const { recovery, retaker, rebuilder } = await this.#save(roots, twin);
    progress.beginPhase("cutting", clock.monotonicMs());
    await this.#cut(roots, recovery, rebuilder);
    progress.beginPhase("setting aside", clock.monotonicMs());
    await this.#setPacksAside();
    const rebuilt = damagedFiles.some((name) => name.startsWith(SEGMENTS_PREFIX));
    if (!dryRun) {
      progress.beginPhase("look-up tables", clock.monotonicMs());
      if (rebuilt) await rebuildIndex(repository, { from: "packs" });
      else await repository.lookup.refresh();
    }
    return {
      dryRun,
      saved: { objects: recovery.counts.saved, bytes: recovery.counts.savedBytes },
      taken: {
        fromRepository: recovery.counts.fromTwin + retaker.counts.fromRepository,
        fromSpool: retaker.counts.fromSpool,
      },
      backups: this.#backups,
      lost: this.#lost,
      lostTotal: this.#lostTotal,
      setAside: this.#setAside,
      kept: this.#kept,
      rebuilt,
      records: this.#records,
      seconds: (clock.monotonicMs() - began) / 1000,
    };
  }

  /** What a run relies on must not move under it. Those that come later are told by a record of deletion. */
  async #refuseWriters(): Promise<void> {
    const { repository, clock } = this.#context;
    const { backend, sealer } = repository;
    const here = isHere(hostname());
    for await (const { name } of backend.list(RUNS_PREFIX)) {
      try {
        const record = await readRun(backend, sealer, name.slice(RUNS_PREFIX.length));
        if (record === undefined || isStaleRun(record, clock.nowMs(), here)) continue;
        throw new CyrvaultError("LOCKED", `somebody writes to the repository: ${name} of ${record.server}`, {
          hint: `try again when it has ended; it runs on ${record.host} as process ${record.pid}`,
        });
      } catch (error) {
        if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
      }
    }
  }

  async #startRun(): Promise<Run> {
    const run = await this.#context.repository.startRun({ server: RUN_NAME, host: hostname() });
    this.#markDamaged();
    return run;
  }

  /** What lies in them counts as absent: it is stored again. */
  #markDamaged(): void {
    const { lookup } = this.#context.repository;
    for (const hex of this.#damaged.keys()) {
      const slot = lookup.packs.byHex(hex);
      if (slot !== undefined) slot.marked = true;
    }
  }

  async #save(
    roots: readonly KnownRoot[],
    twin: RepairContext["other"],
  ): Promise<{ recovery: Recovery; retaker: Retaker; rebuilder: PageRebuilder }> {
    const { repository, other, spool, progress, clock, signal } = this.#context;
    const run = this.#options.dryRun ? undefined : await this.#startRun();
    try {
      await repository.lookup.ready();
      this.#markDamaged();
      const saver = new Saver(repository, run);
      const recovery = new Recovery({
        repository,
        damaged: new Set(this.#damaged.keys()),
        twin,
        saver,
        onObject: () => {
          signal?.throwIfAborted();
          progress.add({ items: 1 }, clock.monotonicMs());
        },
      });
      const retaker = new Retaker({ saver, recovery, other, spool });
      const walk = new SuffererWalk(recovery.source, recovery.lost);
      for (const { root } of roots)
        for (const sufferer of await walk.root(root)) await retaker.take(sufferer, root.server);
      // A cyrus.index that was taken again is read below.
      await saver.finish();
      const rebuilder = await this.#findMessages(roots, recovery);
      // What nobody names any more was not needed so far.
      for (const id of rebuilder.found()) await recovery.lost("message", id);
      await saver.finish();
      recovery.close();
      return { recovery, retaker, rebuilder };
    } finally {
      await run?.abort();
    }
  }

  /** Where lists of messages are lost: which objects the messages are. */
  async #findMessages(roots: readonly KnownRoot[], recovery: Recovery): Promise<PageRebuilder> {
    const { repository, progress, clock, signal } = this.#context;
    const rebuilder = new PageRebuilder(repository, recovery.source);
    const walk = new SuffererWalk(recovery.source, recovery.lost);
    for (const { kind, root } of roots) {
      if (kind !== "backup") continue;
      for (const sufferer of await walk.root(root)) {
        if (sufferer.what !== "pages" || sufferer.of !== "messages") continue;
        const { mailbox, from, before } = sufferer;
        const entry = await findInPageTree(
          root.mailboxes,
          mailbox as ByteString,
          recovery.source,
          mailboxPages,
        );
        const range = rangeOf({ firstKey: from as number | undefined, before: before as number | undefined });
        if (entry !== undefined) await rebuilder.want(entry, range);
      }
    }
    await rebuilder.search(() => {
      signal?.throwIfAborted();
      progress.add({ items: 1 }, clock.monotonicMs());
    });
    return rebuilder;
  }

  async #cut(roots: readonly KnownRoot[], recovery: Recovery, rebuilder: PageRebuilder): Promise<void> {
    const { repository, signal } = this.#context;
    const { dryRun } = this.#options;
    const walk = new SuffererWalk(recovery.source, recovery.lost);
    for (const known of roots) {
      signal?.throwIfAborted();
      const sufferers = await walk.root(known.root);
      if (sufferers.length === 0) continue;
      if (known.kind === "backup") {
        await this.#cutOne(known, recovery, walk, rebuilder);
      } else if (known.kind === "checkpoint") {
        const what =
          "something it needs is lost: the next backup reads again what the interrupted one had read";
        this.#records.push({ name: known.name, what });
        if (!dryRun) await setAside(repository.backend, known.name);
      } else {
        const what = "something it needs is lost; it stays as it is: undelete would bring it back damaged";
        this.#records.push({ name: known.name, what });
      }
    }
  }

  /**
   * First the new backup, then the old one is forgotten: whatever breaks off in between leaves both, and the next repair
   * finds the new one. In a plan nothing is stored.
   */
  async #cutOne(
    { root }: KnownRoot,
    recovery: Recovery,
    walk: SuffererWalk,
    rebuilder: PageRebuilder,
  ): Promise<void> {
    const { repository, clock } = this.#context;
    const { backup } = root;
    const run = this.#options.dryRun ? undefined : await this.#startRun();
    try {
      let lost = 0;
      let messagesRebuilt = 0;
      const hasher = new ObjectHasher(repository.seal);
      const cut = await cutBackup(root, {
        source: recovery.source,
        sink: run?.writer ?? { put: async (kind, bytes) => hasher.id(kind, bytes) },
        lost: recovery.lost,
        walk,
        rebuilder,
        nowMs: clock.nowMs(),
        onRebuilt: (messages) => {
          messagesRebuilt += messages;
        },
        onLost: (thing) => {
          lost++;
          this.#noteLost({ backup, ...thing });
        },
      });
      const stand = { ...cut, ...(await placeOfCut(repository, cut, backup)) };
      this.#backups.push({
        backup,
        became: run === undefined ? undefined : stand.backup,
        lost,
        messagesRebuilt,
      });
      if (run === undefined) return;
      await this.#copyTags(backup, stand.backup);
      if (!stand.isThere) await run.commit(stand.backup, encodeRoot({ ...cut, backup: stand.backup }));
      // A hold would keep the old one for good, and prune from deleting anything as long as that one is there and damaged.
      await this.#copyTags(backup, backup, { hold: undefined });
      await forgetBackup(repository, backup, clock.nowMs());
    } finally {
      await run?.abort();
    }
  }

  /** Tags and holds are sealed under the backup's name. */
  async #copyTags(from: string, to: string, changed: object = {}): Promise<void> {
    const { backend, sealer } = this.#context.repository;
    try {
      const sealed = await backend.read(`tags/${from}`, 1024 * 1024);
      if (sealed === undefined) return;
      const fields = JSON.parse(sealer.openNamed("tags", `tags/${from}`, sealed).toString("utf8")) as object;
      const json = Buffer.from(JSON.stringify({ ...fields, ...changed, backup: to }), "utf8");
      await backend.replace(`tags/${to}`, sealer.sealNamed("tags", `tags/${to}`, json));
    } catch (error) {
      if (!isCyrvaultError(error, "REPOSITORY_DAMAGED") && !(error instanceof SyntaxError)) throw error;
    }
  }

  async #setPacksAside(): Promise<void> {
    const { repository, clock } = this.#context;
    const { backend } = repository;
    const going: { readonly hex: string; readonly name: string }[] = [];
    for (const [hex, packId] of this.#damaged)
      if ((await backend.size(packName(packId))) !== undefined) going.push({ hex, name: packName(packId) });
    if (going.length === 0) return;
    if (this.#options.dryRun) {
      this.#setAside.push(...going.map(({ name }) => name));
      return;
    }
    const needed = await this.#stillNeeded();
    if (needed !== undefined) {
      for (const { name } of going) this.#kept.push({ name, what: needed });
      return;
    }
    // Copies first: what a record says is swept may go at any time.
    for (const { name } of going) await copyAside(backend, name);
    const { newest } = await readGcState(backend, repository.sealer);
    await appendGcRecord(repository, newest, {
      kind: "sweep",
      atMs: clock.nowMs(),
      packs: going.map(({ hex }) => hex),
      runs: [],
    });
    for (const { name } of going) {
      await backend.remove(name);
      this.#setAside.push(name);
    }
  }

  /** @returns what is needed and lies in none but the damaged packs; undefined: nothing. */
  async #stillNeeded(): Promise<string | undefined> {
    const { repository, signal } = this.#context;
    await repository.lookup.refresh();
    const safe = new Recovery({
      repository,
      damaged: new Set(this.#damaged.keys()),
      twin: undefined,
      saver: undefined,
      onObject: () => signal?.throwIfAborted(),
    });
    const walk = new SuffererWalk(safe.source, safe.lost);
    for (const { kind, name, root } of await readRoots(repository, new Map()))
      if (kind !== "forgotten" && (await walk.root(root)).length > 0)
        return `${name} still needs something that lies nowhere else`;
    return undefined;
  }

  #noteLost(thing: LostThing): void {
    this.#lostTotal++;
    if (this.#lost.length < LOST_KEPT) this.#lost.push(thing);
  }
}
