/** A repository on disk that an attacker made who has its key, a place to restore it to, and beside it what nobody may touch. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { encodePieceList } from "../../src/chunker/piece-list.ts";
import { newBackupId } from "../../src/manifest/backup-id.ts";
import type { ManifestRoot } from "../../src/manifest/model.ts";
import { encodeRoot } from "../../src/manifest/root.ts";
import type { ObjectId, StoredObject } from "../../src/store/object.ts";
import { ObjectHasher } from "../../src/store/object-id.ts";
import { packName } from "../../src/store/pack-types.ts";
import { CONFIG_NAME } from "../../src/store/repository-config.ts";
import type { Run } from "../../src/store/run.ts";
import { UNENCRYPTED } from "../../src/store/seal-context.ts";
import { type Ran, run } from "../unit/cli/fake-terminal.ts";
import { type Claims, HostileRepository } from "../unit/restore/hostile-fixture.ts";
import { openStored } from "../unit/restore/restore-fixture.ts";
import { makePack } from "../unit/store/pack-fixture.ts";
import { type TempDir, tempDir } from "./temp-dir.ts";
import { compareTrees, readTree, type Tree } from "./tree-compare.ts";

const HASHER = new ObjectHasher(UNENCRYPTED);
const NONE = new Uint8Array();

export function dataObject(bytes: Uint8Array, id: ObjectId = HASHER.id("data", bytes)): StoredObject {
  return { kind: "data", id, head: bytes, tail: NONE, references: [] };
}

/** A sound message, unless told otherwise. */
export function messageObject(text: string, fields: Partial<StoredObject> = {}): StoredObject {
  const bytes = Buffer.from(text);
  const head = Buffer.concat([encodePieceList(bytes.length, []), bytes]);
  return { kind: "message", id: HASHER.id("message", bytes), head, tail: NONE, references: [], ...fields };
}

/** Adds a pack with these objects, as they are. */
export function plant(
  files: Map<string, Buffer>,
  objects: readonly StoredObject[],
  packKind: "data" | "meta" = "data",
): void {
  const { packId, bytes } = makePack(UNENCRYPTED, objects, { packKind });
  files.set(packName(packId), bytes);
}

/** One sound backup of the claims, then another one of which the root is what `change` makes of it. */
export async function withRoot(
  claims: Claims,
  files: Map<string, Buffer>,
  change: (run: Run, root: ManifestRoot) => Promise<Partial<ManifestRoot>>,
): Promise<HostileRepository> {
  const first = await HostileRepository.make(claims, files);
  const repository = await openStored(first.files);
  const writing = await repository.startRun({ server: "mail", host: "here" });
  const root = {
    ...first.root,
    ...(await change(writing, first.root)),
    backup: newBackupId(Date.UTC(2026, 0, 2)),
  };
  await writing.commit(root.backup, encodeRoot(root));
  await repository.close();
  return first;
}

/** An empty repository's files. */
export async function emptyFiles(): Promise<Map<string, Buffer>> {
  const { files } = await HostileRepository.make({});
  for (const name of files.keys()) if (name !== CONFIG_NAME) files.delete(name);
  return files;
}

export class HostileSite {
  readonly dir: TempDir;
  #before: Tree = new Map();

  constructor() {
    this.dir = tempDir();
    for (const name of ["target", "canary/inner", "repository"])
      mkdirSync(this.dir.in(name), { recursive: true });
    writeFileSync(this.dir.in("canary/bird"), "sings");
    this.remember();
  }

  /** What lies outside the target is from now on as it should stay. */
  remember(): void {
    this.#before = readTree(this.dir.in("canary"));
  }

  get target(): string {
    return this.dir.in("target");
  }

  get canary(): string {
    return this.dir.in("canary");
  }

  put({ files }: Pick<HostileRepository, "files">): void {
    for (const [name, bytes] of files) {
      mkdirSync(dirname(this.dir.in("repository", name)), { recursive: true });
      writeFileSync(this.dir.in("repository", name), bytes);
    }
  }

  async command(...argv: readonly string[]): Promise<Ran> {
    return await run([...argv, "--repo", this.dir.in("repository")], {
      outIsTerminal: true,
      env: { CYRVAULT_CACHE_DIR: "" },
    });
  }

  /** Files outside of the target that are not as they were. */
  touched(): readonly unknown[] {
    const others = readdirSync(this.dir.path).filter(
      (name) => !["canary", "target", "repository"].includes(name),
    );
    return [...compareTrees(this.#before, readTree(this.canary)), ...others];
  }

  [Symbol.dispose](): void {
    this.dir.remove();
  }
}
