import { dirname } from "node:path";
import { removeLeftover, syncDirectory, writeAll } from "../base/durable.ts";
import { type PlaceMethod, placeNew } from "../base/durable-place.ts";
import { assert, isCyrvaultError } from "../base/errors.ts";
import type { FileSystem, OpenFile } from "../base/file-system.ts";
import { ioError } from "../base/io-error.ts";
import type { BackendWriter } from "./backend.ts";
import { nameExists } from "./backend-name.ts";

/** One unfinished file. Each step of a commit is taken once, so that a commit can be called again after a failure. */
export class LocalWriter implements BackendWriter {
  readonly #fs: FileSystem;
  readonly #name: string;
  readonly #path: string;
  readonly #temporary: string;
  readonly #handle: OpenFile;
  readonly #methods: readonly PlaceMethod[] | undefined;
  #state: "writing" | "synced" | "named" | "committed" | "gone" = "writing";
  /** Why it is gone, when a failure and not `abort` was the reason. */
  #failure: unknown;
  #underWay: Promise<void> | undefined;

  constructor(
    fs: FileSystem,
    name: string,
    path: string,
    temporary: string,
    handle: OpenFile,
    methods: readonly PlaceMethod[] | undefined,
  ) {
    this.#fs = fs;
    this.#name = name;
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
    this.#methods = methods;
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#alone(async () => {
      this.#refuseWhenGone();
      assert(this.#state === "writing", `append to ${this.#name} after commit`);
      try {
        await writeAll(this.#handle, bytes);
      } catch (cause) {
        throw await this.#give(ioError(`cannot write ${this.#temporary}`, cause));
      }
    });
  }

  async commit(): Promise<void> {
    await this.#alone(async () => {
      this.#refuseWhenGone();
      if (this.#state === "writing") await this.#sync();
      if (this.#state === "synced") await this.#place();
      if (this.#state === "named") await syncDirectory(this.#fs, dirname(this.#path));
      this.#state = "committed";
    });
  }

  /** At any time: waits for the call under way. */
  async abort(): Promise<void> {
    while (this.#underWay !== undefined) await this.#underWay;
    await this.#alone(async () => {
      if (this.#state === "writing" || this.#state === "synced") await this.#discard();
    });
  }

  /** A failed fsync is final: the kernel may have dropped the pages, and a second one would succeed on nothing. */
  async #sync(): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
    } catch (cause) {
      throw await this.#give(ioError(`cannot make ${this.#temporary} durable`, cause));
    }
    this.#state = "synced";
  }

  async #place(): Promise<void> {
    try {
      await placeNew(this.#fs, this.#temporary, this.#path, this.#methods);
    } catch (error) {
      throw isCyrvaultError(error, "NAME_EXISTS") ? await this.#give(nameExists(this.#name)) : error;
    }
    this.#state = "named";
  }

  async #give(failure: Error): Promise<Error> {
    this.#failure = failure;
    await this.#discard();
    return failure;
  }

  async #discard(): Promise<void> {
    if (this.#state === "writing") await this.#handle.close().catch(() => undefined);
    this.#state = "gone";
    await removeLeftover(this.#fs, this.#temporary);
  }

  #refuseWhenGone(): void {
    if (this.#failure !== undefined) throw this.#failure;
    assert(this.#state !== "gone", `${this.#name} was aborted`);
  }

  async #alone(step: () => Promise<void>): Promise<void> {
    assert(this.#underWay === undefined, `calls of the writer of ${this.#name} overlap`);
    const done = step();
    this.#underWay = done.catch(() => undefined);
    try {
      await done;
    } finally {
      this.#underWay = undefined;
    }
  }
}
