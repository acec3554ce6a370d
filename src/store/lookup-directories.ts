/** Directories of packs, as a look-up reads them: a pack that has gone or is damaged is noted, and done without. */
import type { Backend } from "../backend/backend.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { PackSlot } from "./lookup-packs.ts";
import { type OpenedPack, openPack } from "./pack-reader.ts";
import type { PackSeal } from "./pack-seal.ts";
import type { Sealer } from "./sealer.ts";

/** Packs whose directories are read at once. */
const BATCH = 8;

export class LookupDirectories {
  readonly #backend: Backend;
  readonly #sealer: Sealer;
  readonly #log: Logger;
  readonly #onOpened: (pack: PackSlot, seal: PackSeal) => void;

  constructor(
    parts: { readonly backend: Backend; readonly sealer: Sealer; readonly log: Logger },
    onOpened: (pack: PackSlot, seal: PackSeal) => void,
  ) {
    this.#backend = parts.backend;
    this.#sealer = parts.sealer;
    this.#log = parts.log;
    this.#onOpened = onOpened;
  }

  /** Undefined for a pack that has gone or is damaged. */
  async open(pack: PackSlot): Promise<OpenedPack | undefined> {
    try {
      const opened = await openPack(this.#backend, pack.packId, this.#sealer.context);
      if (opened === undefined) pack.live = false;
      else this.#onOpened(pack, opened.seal);
      return opened;
    } catch (error) {
      if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
      pack.unreadable = error;
      this.#log.warning("a pack is damaged: what it holds cannot be found", {
        pack: pack.hex,
        reason: error.message,
      });
      return undefined;
    }
  }

  /** Several at once. @param use - called in no order. @param afterBatch - nothing is being read meanwhile. */
  async openAll(
    packs: readonly PackSlot[],
    use: (pack: PackSlot, opened: OpenedPack) => void,
    afterBatch: () => Promise<void>,
  ): Promise<void> {
    for (let at = 0; at < packs.length; at += BATCH) {
      await Promise.all(
        packs.slice(at, at + BATCH).map(async (pack) => {
          const opened = await this.open(pack);
          if (opened !== undefined) use(pack, opened);
        }),
      );
      await afterBatch();
    }
  }
}
