/**
 * Against what may be deduplicated where some may only write: one of them may have stored anything under an id. Rules:
 * docs/formats/keys.md, "Writers that may not read".
 */
import type { Backend } from "../backend/backend.ts";
import { equalBytes } from "../base/bytes.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { Cache } from "./cache.ts";
import type { PackSlot } from "./lookup-packs.ts";
import type { PackDirectory } from "./pack-directory.ts";
import { openPack } from "./pack-reader.ts";
import type { PackSeal } from "./pack-seal.ts";
import type { SealContext } from "./seal-context.ts";

const DIRECTORY_BYTES = 24 * 1024 * 1024;

/** The packs that who may only write has written from this machine: what it goes by instead of what it cannot read. */
export interface OwnPacks {
  /** 32 random bytes, `KeyedSealContext.remembered`. undefined: nothing is remembered but which packs. */
  readonly secret?: Uint8Array | undefined;
  has(hex: string): boolean;
  /** A pack of our own that is durable. */
  add(hex: string): void;
}

export class Vouching {
  readonly #backend: Backend;
  readonly #context: SealContext;
  readonly #own: OwnPacks | undefined;
  readonly #directories = new Cache<string, PackDirectory | undefined>(
    DIRECTORY_BYTES,
    (directory) => directory?.memoryBytes ?? 64,
  );

  /** @param own - undefined: whoever may read; of others nothing counts but what is there. */
  constructor(backend: Backend, context: SealContext, own: OwnPacks | undefined) {
    this.#backend = backend;
    this.#context = context;
    this.#own = own;
  }

  /**
   * A pack that this process has written. @param isRemembered - it tells by itself whose it is, as long as that is
   * remembered with which it opens; afterwards it is of no use to anybody who may only write.
   */
  wrote(pack: PackSlot, isRemembered: boolean): void {
    pack.isVouched = true;
    if (!isRemembered) this.#own?.add(pack.hex);
  }

  /** @param seal - of its header, opened where that is possible. */
  opened(
    pack: PackSlot,
    { isUnvouched, isRemembered }: Pick<PackSeal, "isUnvouched" | "isRemembered">,
  ): void {
    if (pack.isVouched === true) return;
    pack.isVouched = this.#own === undefined ? !isUnvouched : isRemembered || this.#own.has(pack.hex);
  }

  /**
   * Whether the pack may be relied on, and really has this id there. A segment proves neither: every writer can make one.
   * What cannot be read does not count.
   */
  async counts(pack: PackSlot, ordinal: number, id: Uint8Array): Promise<boolean> {
    if (pack.isVouched === false) return false;
    if (pack.isVouched === undefined && this.#isOthers(pack)) return false;
    try {
      const directory = await this.#directories.get(pack.hex, () => this.#open(pack));
      if (directory === undefined || !pack.isVouched || ordinal >= directory.objectCount) return false;
      return equalBytes(directory.idAt(ordinal), id);
    } catch (error) {
      if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
      return false;
    }
  }

  /** Without looking into it. */
  #isOthers(pack: PackSlot): boolean {
    if (this.#own === undefined || this.#own.has(pack.hex)) return false;
    const { encrypted } = this.#context;
    return !encrypted || this.#context.remembered === undefined || pack.packKind === "data";
  }

  async #open(pack: PackSlot): Promise<PackDirectory | undefined> {
    const opened = await openPack(this.#backend, pack.packId, this.#context);
    if (opened === undefined) return undefined;
    this.opened(pack, opened.seal);
    return opened.directory;
  }
}
