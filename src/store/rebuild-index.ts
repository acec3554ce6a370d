/** Makes anew what can be made anew: the segments from the packs, the object index from the segments. */
import { rm } from "node:fs/promises";
import { CyrvaultError } from "../base/errors.ts";
import { silentLogger } from "../base/log.ts";
import { ObjectIndex } from "./object-index.ts";
import type { Repository } from "./repository.ts";

export interface RebuildOptions {
  /** `packs`: read every pack's directory and replace all segments; then, as with `segments`, the object index. */
  readonly from: "packs" | "segments";
  readonly onProgress?: (progress: {
    readonly phase: "segments" | "index";
    readonly objects: number;
  }) => void;
}

export interface Rebuilt {
  readonly packs: number;
  /** Copies in several packs counted each. */
  readonly objects: number;
  /** Packs whose directories cannot be read: hex. */
  readonly unreadable: readonly string[];
  /** False: there is no place for an object index. */
  readonly index: boolean;
}

/** @throws {CyrvaultError} `LOCKED`: another process holds the object index. */
export async function rebuildIndex(repository: Repository, options: RebuildOptions): Promise<Rebuilt> {
  const { lookup, indexDirectory } = repository;
  repository.requireWritable();
  await emptyIndex(repository);
  let objects = 0;
  const counting = (phase: "segments" | "index") => (count: number) => {
    objects += count;
    options.onProgress?.({ phase, objects });
  };
  await lookup.refresh({ mayWrite: true });
  if (options.from === "packs") {
    await lookup.forgetSegments();
    await lookup.refresh({ mayWrite: true, onProgress: counting("segments") });
  }
  await lookup.flush();
  await lookup.merge();
  const packs = [...lookup.packs.live()];
  objects = 0;
  if (indexDirectory !== undefined) {
    await repository.acquireIndex(counting("index"));
    await repository.releaseIndex();
  }
  return {
    packs: packs.length,
    objects: packs.reduce((sum, pack) => sum + pack.objects, 0),
    unreadable: [...lookup.unreadablePacks()].map(({ hex }) => hex),
    index: indexDirectory !== undefined,
  };
}

async function emptyIndex({ id, indexDirectory }: Repository): Promise<void> {
  if (indexDirectory === undefined) return;
  const index = await ObjectIndex.open(indexDirectory, id, silentLogger);
  if (index === undefined)
    throw new CyrvaultError(
      "LOCKED",
      `the object index in ${indexDirectory} is in use or cannot be written`,
      {
        hint: "a backup may be under way; try again when it has ended",
      },
    );
  await index.close();
  await rm(indexDirectory, { recursive: true, force: true });
}
