/** `--snapshot none`: what is read is frozen already, or nobody works on it. */
import { type ByteString, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { HostFacts } from "../source/host/host-facts.ts";
import type { SourceView } from "../source/view.ts";
import type { Places, Provider, TakenView } from "./method.ts";
import { mastersOf } from "./quiesce-holders.ts";

export interface NoneOptions {
  readonly view: SourceView;
  /** As on the server. */
  readonly configPath: ByteString;
  readonly allowTorn: boolean;
  /** Something else holds Cyrus still for as long as the backup reads. */
  readonly isHeldStill: boolean;
  /** The commands to use instead, as text. */
  readonly advice: () => string | undefined;
}

export class NoneProvider implements Provider {
  readonly name = "none";
  readonly isFrozen = false;
  readonly #options: NoneOptions;
  readonly #facts: () => HostFacts;
  #running: string | undefined;

  constructor(options: NoneOptions, facts: () => HostFacts) {
    this.#options = options;
    this.#facts = facts;
  }

  async plan(places: Places): Promise<readonly string[]> {
    const { isHeldStill, allowTorn, advice } = this.#options;
    this.#running = isHeldStill ? undefined : whoWrites(this.#options, places, this.#facts());
    if (this.#running === undefined) return [];
    if (allowTorn) return [`read the tree although ${this.#running}: what is read may be torn`];
    const command = advice();
    const instead = command === undefined ? "stop Cyrus, or take a view (--snapshot)" : `\`${command}\``;
    throw new CyrvaultError("USAGE", `${this.#running}: what is read while it changes may be torn`, {
      hint: `${instead}; --allow-torn reads it as it is`,
    });
  }

  async take(_places: Places): Promise<TakenView> {
    const { view } = this.#options;
    const { root, mappings } = view;
    return {
      root,
      mappings,
      cutMs: undefined,
      isAtomic: true,
      torn: this.#running,
      check: async () => undefined,
    };
  }
}

/** A master of this server, or whoever has a file below the roots open to write. Readers (another backup) do no harm. */
function whoWrites(
  { view, configPath }: Pick<NoneOptions, "view" | "configPath">,
  { roots }: Places,
  facts: HostFacts,
): string | undefined {
  if (!view.isMapped) {
    const [master] = mastersOf(facts, configPath);
    if (master !== undefined) return `Cyrus runs on this tree (process ${master.pid})`;
  }
  for (const { pid, args } of facts.processes) {
    const file = facts.openForWriting(pid, roots)?.[0];
    if (file !== undefined)
      return `process ${pid} (${toText(args[0] ?? ("?" as ByteString))}) has ${toText(file)} open to write`;
  }
  return undefined;
}
