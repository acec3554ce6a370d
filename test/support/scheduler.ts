/** Decides, call by call, who of several may go on: every interleaving of what they ask of a backend can come up. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Backend, BackendFile } from "../../src/backend/backend.ts";
import type { Random } from "../../src/sample/random.ts";

interface Waiting {
  readonly actor: Actor;
  readonly label: string;
  /** Does what was asked; the answer goes out unless the actor is dead by then. */
  readonly go: (isHeard: boolean) => Promise<void>;
}

interface Actor {
  readonly name: string;
  isDead: boolean;
  hasEnded: boolean;
}

export interface StepHooks {
  /** Before each step. */
  readonly before?: () => void;
  /** After each step that has had its effect. */
  readonly after?: (actor: string, operation: string, name: string) => Promise<void> | void;
  /** Whether the actor whose turn it is dies instead, with what it asked for done or not. */
  readonly dies?: (actor: string) => boolean;
}

export class Scheduler {
  readonly #random: Random;
  readonly #hooks: StepHooks;
  #waiting: Waiting[] = [];
  readonly #actors = new Set<Actor>();
  steps = 0;
  deaths = 0;
  /** The last steps, for people. */
  readonly trace: string[] = [];

  constructor(random: Random, hooks: StepHooks) {
    this.#random = random;
    this.#hooks = hooks;
  }

  /** How many are at work. */
  get active(): number {
    return this.#actors.size;
  }

  /** Begins at once and goes on as `run` lets it. Failures are the actor's own affair: `work` must catch them. */
  start(name: string, inner: Backend, work: (backend: Backend) => Promise<void>): void {
    const actor: Actor = { name, isDead: false, hasEnded: false };
    this.#actors.add(actor);
    void work(this.#over(inner, actor)).then(() => {
      actor.hasEnded = true;
      this.#actors.delete(actor);
    });
  }

  /** One step of somebody. @returns false: nobody is at work. */
  async step(): Promise<boolean> {
    await nextTurn();
    if (this.#waiting.length === 0) return this.#actors.size > 0;
    this.#hooks.before?.();
    const [turn] = this.#waiting.splice(this.#random.below(this.#waiting.length), 1) as [Waiting];
    const { actor } = turn;
    this.steps++;
    if (this.#hooks.dies?.(actor.name) === true) {
      actor.isDead = true;
      this.deaths++;
      this.#actors.delete(actor);
      const own = [turn, ...this.#waiting.filter((other) => other.actor === actor)];
      this.#waiting = this.#waiting.filter((other) => other.actor !== actor);
      this.#note(`${actor.name} dies`);
      for (const { go, label } of own)
        if (this.#random.chance(0.5)) {
          this.#note(`${actor.name} (dead) ${label}`);
          await go(false);
        }
      return true;
    }
    this.#note(`${actor.name} ${turn.label}`);
    await turn.go(true);
    return true;
  }

  #note(line: string): void {
    this.trace.push(line);
    if (this.trace.length > 400) this.trace.shift();
  }

  #over(inner: Backend, actor: Actor): Backend {
    const turn = <T>(operation: string, name: string, call: () => Promise<T>): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        // The dead ask for nothing, and wait for ever.
        if (actor.isDead) return;
        this.#waiting.push({
          actor,
          label: `${operation} ${name}`,
          go: async (isHeard) => {
            try {
              const answer = await call();
              await this.#hooks.after?.(actor.name, operation, name);
              if (isHeard) resolve(answer);
            } catch (error) {
              if (isHeard) reject(error);
            }
          },
        });
      });
    return {
      properties: inner.properties,
      create: (name, bytes) => turn("create", name, () => inner.create(name, bytes)),
      begin: async (name) => {
        const writer = await inner.begin(name);
        return {
          append: (bytes) => writer.append(bytes),
          commit: () => turn("commit", name, () => writer.commit()),
          abort: () => writer.abort(),
        };
      },
      replace: (name, bytes) => turn("replace", name, () => inner.replace(name, bytes)),
      read: (name, maxBytes) => turn("read", name, () => inner.read(name, maxBytes)),
      readRange: (name, offset, length) =>
        turn("readRange", name, () => inner.readRange(name, offset, length)),
      size: (name) => turn("size", name, () => inner.size(name)),
      list: async function* (prefix: string) {
        const files = await turn("list", prefix, async () => {
          const found: BackendFile[] = [];
          for await (const file of inner.list(prefix)) found.push(file);
          return found;
        });
        yield* files;
      },
      remove: (name) => turn("remove", name, () => inner.remove(name)),
      close: async () => undefined,
    };
  }
}
