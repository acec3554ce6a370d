/** One tree, every step with every tool, in an order that warms nobody's caches more than another's. */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { contentsOf, dropCaches, flush, warmUp } from "../measure/disk.ts";
import { inTurn } from "../measure/statistics.ts";
import type { CaseResult, StepFacts, StepName, TreeFacts } from "../report/result.ts";
import type { Cyrvault } from "../tools/cyrvault.ts";
import type { Place, Sources, Tool } from "../tools/tool.ts";
import { floorOf } from "../trees/floor.ts";
import { generatedTree, realTree, type Tree } from "../trees/tree.ts";
import { type CaseDefinition, type Rounds, roundsOf } from "./case.ts";
import { runLimited } from "./limited.ts";
import { chooseMessages } from "./messages.ts";
import { prepare, Recorder } from "./recorder.ts";

export interface Setup {
  /** Installed and wanted. */
  readonly tools: readonly Tool[];
  readonly cyrvault: Cyrvault;
  /** Trees, repositories and what is restored lie below. */
  readonly work: string;
  readonly passwordFile: string;
  readonly spool: Omit<Sources, "paths"> | undefined;
  readonly say: (line: string) => void;
}

export async function runCase(definition: CaseDefinition, setup: Setup): Promise<CaseResult> {
  const run = new CaseRun(definition, setup);
  try {
    return await run.run();
  } finally {
    run.tidyUp();
  }
}

class CaseRun {
  readonly #definition: CaseDefinition;
  readonly #setup: Setup;
  readonly #recorder: Recorder;
  readonly #scratch: string;
  readonly #tools: readonly Tool[];
  readonly #notes: string[] = [];
  readonly #places = new Map<Tool, Place>();
  readonly #backups = new Map<Place, number>();

  constructor(definition: CaseDefinition, setup: Setup) {
    this.#definition = definition;
    this.#setup = setup;
    this.#recorder = new Recorder(setup.say);
    this.#scratch = join(setup.work, `case-${definition.id}`);
    this.#tools = setup.tools.filter(({ name }) => definition.tools.includes(name));
  }

  async run(): Promise<CaseResult> {
    const { id, title, rounds, floor, limited, smallTree } = this.#definition;
    const { say } = this.#setup;
    const started = performance.now();
    const time = new Date().toISOString();
    rmSync(this.#scratch, { recursive: true, force: true });
    // A real spool may come by: its mail is nobody else's business, and bup does not encrypt.
    mkdirSync(this.#scratch, { recursive: true, mode: 0o700 });
    say(`${id}: the tree`);
    const tree = await this.#tree(this.#definition.tree);
    warmUp(tree.sources.paths);
    const { bytes, files } = tree.facts;
    say(`  ${tree.facts.messages} messages, ${files} files, ${Math.round(bytes / 1e6)} MB`);
    await this.#firstBackups(tree);
    const floorFacts = floor ? await floorOf(tree, this.#scratch) : undefined;
    await this.#unchanged(tree);
    for (let round = 0; round < rounds.restore; round++)
      for (const tool of this.#inTurn("restore", round)) await this.#restore("restore", tree, tool, round);
    await this.#messages();
    await this.#inspect();
    const smallFacts = smallTree === undefined ? undefined : await this.#smallTree(smallTree);
    const withLimit = limited ? { limited: await this.#limited(tree) } : {};
    if (rounds.days > 0) {
      await this.#days(tree);
      if (rounds.restore > 0) await this.#restore("restore after the days", tree, this.#setup.cyrvault, 0);
    }
    return {
      id,
      title,
      time,
      seconds: (performance.now() - started) / 1000,
      tree: tree.facts,
      ...(smallFacts === undefined ? {} : { smallTree: smallFacts }),
      ...(floorFacts === undefined ? {} : { floor: floorFacts }),
      steps: this.#recorder.steps,
      ...withLimit,
      notes: this.#notes,
    };
  }

  tidyUp(): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  async #tree(parameters: readonly string[] | undefined): Promise<Tree> {
    const { spool, work, cyrvault } = this.#setup;
    if (parameters !== undefined) return await generatedTree(parameters, join(work, "trees"), cyrvault);
    if (spool === undefined) throw new RangeError("no spool is given");
    return await realTree(spool, this.#scratch, cyrvault);
  }

  /** Who has this round. @param round - from 0. */
  #inTurn(step: keyof Rounds, round: number): readonly Tool[] {
    const taking = this.#tools.filter(({ name }) => roundsOf(this.#definition, step, name) > round);
    return inTurn(taking, round);
  }

  #newPlace(tool: Tool, name: string): Place {
    const home = join(this.#scratch, `${tool.name}-${name}`);
    const cache = join(home, "cache");
    mkdirSync(cache, { recursive: true });
    return { repository: join(home, "repository"), cache, passwordFile: this.#setup.passwordFile };
  }

  #removePlace(place: Place): void {
    rmSync(join(place.cache, ".."), { recursive: true, force: true });
  }

  /** @returns the number of the backup to come. */
  #nextNumber(place: Place): number {
    const number = (this.#backups.get(place) ?? 0) + 1;
    this.#backups.set(place, number);
    return number;
  }

  #placeOf(tool: Tool): Place {
    const place = this.#places.get(tool);
    if (place === undefined) throw new RangeError(`${tool.name} has no repository yet`);
    return place;
  }

  async #backup(step: StepName, tool: Tool, place: Place, { sources }: Tree): Promise<void> {
    flush();
    await this.#recorder.record(step, tool, tool.backup(place, sources, this.#nextNumber(place)));
  }

  /** Each round has new repositories; those of the last one stay for what follows. */
  async #firstBackups(tree: Tree): Promise<void> {
    for (let round = 0; round < this.#definition.rounds.first; round++) {
      for (const tool of this.#inTurn("first", round)) {
        const before = this.#places.get(tool);
        if (before !== undefined) this.#removePlace(before);
        const place = this.#newPlace(tool, `round-${round}`);
        this.#places.set(tool, place);
        await prepare(tool, tool.init(place));
        await this.#backup("first backup", tool, place, tree);
        const { bytes, allocatedBytes } = contentsOf([place.repository]);
        this.#recorder.addFacts("first backup", tool, {
          repositoryBytes: bytes,
          repositoryAllocatedBytes: allocatedBytes,
        });
      }
    }
  }

  async #unchanged(tree: Tree): Promise<void> {
    const { unchanged, cold } = this.#definition.rounds;
    for (const tool of unchanged + cold > 0 ? this.#tools : []) {
      // What is measured only once is not worth doing twice: it is slow.
      const isOnce = roundsOf(this.#definition, "unchanged", tool.name) === 1 && unchanged > 1;
      if (isOnce) continue;
      const place = this.#placeOf(tool);
      await prepare(tool, tool.backup(place, tree.sources, this.#nextNumber(place)));
    }
    for (let round = 0; round < unchanged; round++)
      for (const tool of this.#inTurn("unchanged", round))
        await this.#backup("nothing changed", tool, this.#placeOf(tool), tree);
    for (let round = 0; round < cold; round++) {
      for (const tool of this.#inTurn("cold", round)) {
        if (!dropCaches()) {
          this.#notes.push("nothing changed, cold: the page cache cannot be dropped here");
          return;
        }
        await this.#backup("nothing changed, cold", tool, this.#placeOf(tool), tree);
      }
    }
  }

  /** @param round - from 0: in the first one it is compared with the source. */
  async #restore(step: StepName, tree: Tree, tool: Tool, round: number): Promise<void> {
    const target = join(this.#scratch, "restored");
    const place = this.#placeOf(tool);
    mkdirSync(target);
    flush();
    const operation = tool.restore(place, target, this.#backups.get(place) ?? 1);
    const { stdout, sample } = await this.#recorder.record(step, tool, operation);
    if (round === 0) {
      this.#recorder.addFacts(step, tool, { differences: this.#differences(tool, tree, target) });
      if (tool === this.#setup.cyrvault && sample.failure === undefined)
        this.#recorder.addFacts(step, tool, openedBytes(stdout));
    }
    rmSync(target, { recursive: true });
  }

  /** Of the mail; a staging directory is no mail. */
  #differences(tool: Tool, { sources, partitions }: Tree, target: string): number {
    let differences = 0;
    for (const partition of partitions) {
      const named = tool.name === "cyrvault" && sources.root !== "/";
      const restored = `${target}${named ? partition.slice(sources.root.length) : partition}`;
      const options = { encoding: "utf8", maxBuffer: 1 << 30 } as const;
      const { status, stdout } = spawnSync("diff", ["-rq", "--no-dereference", partition, restored], options);
      const lines = stdout.split("\n").filter((line) => line !== "" && !line.endsWith(": stage."));
      differences += status === 2 ? Math.max(1, lines.length) : lines.length;
    }
    return differences;
  }

  async #messages(): Promise<void> {
    const { messages } = this.#definition;
    if (messages === 0) return;
    const { cyrvault } = this.#setup;
    const place = this.#placeOf(cyrvault);
    const empty = this.#newPlace(cyrvault, "empty");
    await prepare(cyrvault, cyrvault.init(empty));
    for (const { mailbox, uid } of await chooseMessages(cyrvault, place, messages)) {
      await this.#recorder.record("start", cyrvault, [cyrvault.command(empty, "list")]);
      const cat = cyrvault.command(place, "cat", "latest", mailbox, String(uid));
      await this.#recorder.record("one message", cyrvault, [cat]);
    }
    this.#removePlace(empty);
  }

  async #inspect(): Promise<void> {
    const { cyrvault } = this.#setup;
    const place = this.#placeOf(cyrvault);
    for (let round = 0; round < this.#definition.rounds.inspect; round++) {
      for (const step of inTurn(["check", "rebuild-index"] as const, round)) {
        flush();
        const { stdout, sample } = await this.#recorder.record(step, cyrvault, [
          cyrvault.command(place, step),
        ]);
        if (sample.failure !== undefined) continue;
        const { objects } = JSON.parse(stdout) as { readonly objects: number };
        this.#recorder.addFacts(step, cyrvault, { objects });
      }
    }
  }

  async #smallTree(parameters: readonly string[]): Promise<TreeFacts> {
    const { cyrvault, say } = this.#setup;
    say("  the tree with fewer messages");
    const tree = await this.#tree(parameters);
    warmUp(tree.sources.paths);
    const place = this.#newPlace(cyrvault, "small");
    await prepare(cyrvault, cyrvault.init(place));
    for (let round = 0; round < 2; round++) await prepare(cyrvault, cyrvault.backup(place, tree.sources));
    for (let round = 0; round < this.#definition.rounds.unchanged; round++)
      await this.#backup("small tree", cyrvault, place, tree);
    this.#removePlace(place);
    return tree.facts;
  }

  async #limited(tree: Tree): ReturnType<typeof runLimited> {
    const { cyrvault, say } = this.#setup;
    const place = this.#newPlace(cyrvault, "limited");
    const target = join(this.#scratch, "limited-restored");
    const restores = this.#definition.rounds.restore > 0;
    try {
      return await runLimited(cyrvault, place, tree.sources, restores ? target : undefined, say);
    } finally {
      this.#removePlace(place);
      rmSync(target, { recursive: true, force: true });
    }
  }

  async #days(tree: Tree): Promise<void> {
    const lastDay = 1 + this.#definition.rounds.days;
    const { cyrvault, say } = this.#setup;
    if (tree.nextDay === undefined) return;
    for (let day = 2; day <= lastDay; day++) {
      const command = await tree.nextDay();
      if (day === 2) this.#notes.push(`a day: \`${command}\``);
      say(`  day ${day}`);
      for (const tool of this.#inTurn("days", day - 2))
        await this.#backup("day", tool, this.#placeOf(tool), tree);
    }
    const { bytes, allocatedBytes } = contentsOf([this.#placeOf(cyrvault).repository]);
    this.#recorder.addFacts("day", cyrvault, {
      repositoryBytes: bytes,
      repositoryAllocatedBytes: allocatedBytes,
    });
  }
}

/** What `restore --json` says of the blocks it opened. */
function openedBytes(stdout: string): StepFacts {
  const { blockBytesOpened, blockBytesNeeded } = JSON.parse(stdout) as Readonly<Record<string, unknown>>;
  if (typeof blockBytesOpened !== "number" || typeof blockBytesNeeded !== "number") return {};
  return { blockBytesOpened, blockBytesNeeded };
}
