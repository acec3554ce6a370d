/**
 * A view, from the plan to the last thing given back: what is held still → the view → it goes on → somebody reads → it is
 * asked whether that may be trusted → everything is given back, whatever happened.
 */
import type { ByteString } from "../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { ServerRoot } from "../source/roots.ts";
import { isWithin } from "../source/view.ts";
import { consistencyOf, type ViewFinding, viewFindings } from "./consistency.ts";
import type { Holdings } from "./held.ts";
import type { Places, Provider, Quiesce, QuiesceReport, TakenView } from "./method.ts";

/** Holdings that one run has for itself. */
export interface OwnHoldings extends Holdings {
  close(): void;
}

export interface ViewInput {
  readonly provider: Provider;
  readonly quiesce: Quiesce;
  readonly places: Places;
  /** @throws {CyrvaultError} `LOCKED`. Not called where nothing is to be held. */
  readonly openHoldings: () => Promise<OwnHoldings>;
  readonly log: Logger;
  /** Stops at the next good place. */
  readonly signal: AbortSignal;
  /** Stops waiting for whoever reads. */
  readonly hurry: AbortSignal;
  /** Between two looks at a view that may be lost. */
  readonly pollMs: number;
}

export interface ViewReport {
  readonly snapshot: Provider["name"];
  readonly quiesce: Quiesce["name"];
  readonly consistency: string;
  /** How long Cyrus was held; 0: not at all. */
  readonly heldMs: number;
  readonly cutMs: number | undefined;
  readonly findings: readonly ViewFinding[];
}

export interface HeldView {
  readonly view: TakenView;
  /** Aborted also when the view is lost. */
  readonly signal: AbortSignal;
  /** Aborted when Cyrus had to go on: what is read from then on may be torn. */
  readonly letGo: AbortSignal | undefined;
  /** When all has been read, and before anybody relies on it. @throws {CyrvaultError} `SNAPSHOT_FAILED` when the view is lost. */
  finish(roots: readonly ServerRoot[]): Promise<ViewReport>;
}

export interface ViewOutcome<T> {
  readonly result: T;
  /** What `use` made stands, but something is still held. */
  readonly problem: CyrvaultError | undefined;
}

/** @returns what would be done, a line each. @throws {CyrvaultError} for what cannot work. */
export async function planView({
  provider,
  quiesce,
  places,
}: Pick<ViewInput, "provider" | "quiesce" | "places">): Promise<string[]> {
  return [...(await quiesce.plan(places)), ...(await provider.plan(places))];
}

/** @throws {CyrvaultError} the first failure; what could not be given back besides is logged. */
export async function withView<T>(
  input: ViewInput,
  use: (held: HeldView) => Promise<T>,
): Promise<ViewOutcome<T>> {
  const { provider, quiesce, log } = input;
  const isNothingHeld = provider.name === "none" && quiesce.name === "none";
  const holdings = isNothingHeld ? NOTHING_HELD : await input.openHoldings();
  const work = new ViewWork(input, holdings);
  try {
    let result: T;
    try {
      result = await work.run(use);
    } catch (error) {
      const problem = await work.giveBack();
      if (problem !== undefined) log.error(problem.message, { hint: problem.hint });
      throw error;
    }
    return { result, problem: await work.giveBack() };
  } finally {
    holdings.close();
  }
}

class ViewWork {
  readonly #input: ViewInput;
  readonly #holdings: OwnHoldings;
  readonly #lost = new AbortController();
  #report: QuiesceReport | undefined;
  #isHeld = false;
  #poll: NodeJS.Timeout | undefined;

  constructor(input: ViewInput, holdings: OwnHoldings) {
    this.#input = input;
    this.#holdings = holdings;
  }

  async run<T>(use: (held: HeldView) => Promise<T>): Promise<T> {
    const { provider, quiesce, places, signal, hurry } = this.#input;
    for (const line of await planView(this.#input)) this.#input.log.debug(line);
    signal.throwIfAborted();
    // Also what stands still in part has to go on.
    this.#isHeld = true;
    await quiesce.begin(places, this.#holdings, signal);
    signal.throwIfAborted();
    const view = await provider.take(places, this.#holdings, signal);
    if (provider.isFrozen) await this.#letGo();
    signal.throwIfAborted();
    this.#watch(view);
    const held: HeldView = {
      view,
      signal: AbortSignal.any([signal, this.#lost.signal]),
      letGo: provider.isFrozen ? undefined : quiesce.letGo,
      finish: (roots) => this.#finish(view, roots),
    };
    return await Promise.race([use(held), rejectedBy(hurry)]);
  }

  /** Never throws: what is left is the answer. */
  async giveBack(): Promise<CyrvaultError | undefined> {
    clearInterval(this.#poll);
    const failures: CyrvaultError[] = [];
    for (const step of [() => this.#letGo(), () => this.#holdings.releaseAll()]) {
      try {
        await step();
      } catch (error) {
        failures.push(asOurs(error));
      }
    }
    const [first, second] = failures;
    if (first === undefined || second === undefined) return first;
    return new CyrvaultError(first.code, `${first.message}; ${second.message}`, {
      ...(second.hint === undefined ? {} : { hint: second.hint }),
      cause: first,
    });
  }

  async #letGo(): Promise<void> {
    const { quiesce } = this.#input;
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#report = await quiesce.end(this.#holdings);
  }

  #watch(view: TakenView): void {
    let isLooking = false;
    this.#poll = setInterval(() => {
      if (isLooking) return;
      isLooking = true;
      view.check().then(
        () => {
          isLooking = false;
        },
        (error: unknown) => this.#lost.abort(error),
      );
    }, this.#input.pollMs);
    this.#poll.unref();
  }

  async #finish(view: TakenView, roots: readonly ServerRoot[]): Promise<ViewReport> {
    const { provider, quiesce, places } = this.#input;
    this.#lost.signal.throwIfAborted();
    await view.check();
    await this.#letGo();
    const cut = {
      provider: provider.name,
      isFrozen: provider.isFrozen,
      quiesce: quiesce.name,
      view,
      broken: this.#report?.broken,
      busy: this.#report?.busy,
      uncovered: provider.isFrozen ? uncoveredBy(view, roots, places) : [],
    } as const;
    return {
      snapshot: provider.name,
      quiesce: cut.quiesce,
      consistency: consistencyOf(cut),
      heldMs: this.#report?.heldMs ?? 0,
      cutMs: view.cutMs,
      findings: viewFindings(cut),
    };
  }
}

/** Directories that a link below a root led to, and that lie in no snapshot. */
function uncoveredBy(view: TakenView, roots: readonly ServerRoot[], { roots: places }: Places): ByteString[] {
  if (view.root !== "/") return [];
  return roots
    .filter(({ kind, realPath, path }) => {
      const isCovered = view.mappings.some(({ from, to }) => isWithin(realPath, to) || isWithin(path, from));
      const isMeant = (kind !== "file" && kind !== "include") || places.includes(path);
      return isMeant && !isCovered;
    })
    .map(({ path }) => path);
}

function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

function asOurs(error: unknown): CyrvaultError {
  if (isCyrvaultError(error)) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new CyrvaultError("SNAPSHOT_FAILED", `cannot give everything back: ${why}`, { cause: error });
}

const NOTHING_HELD: OwnHoldings = {
  hold: (_thing, take) => take(),
  release: async () => undefined,
  releaseAll: async () => undefined,
  close: () => undefined,
};
