/** What a backup added to a repository, by kind of object: read from the directories of the packs that are new. */
import { LocalBackend } from "../../src/backend/local.ts";
import { objectsInBlock, openPack, readBlock } from "../../src/store/pack-reader.ts";
import { PACKS_PREFIX, parsePackName } from "../../src/store/pack-types.ts";
import { UNENCRYPTED } from "../../src/store/seal-context.ts";

export interface Added {
  objects: number;
  /** Before compression. */
  raw: number;
  /** Their share of the blocks. */
  stored: number;
}

export interface RepositoryDay {
  /** By kind; manifest pages by what they hold. */
  readonly kinds: Record<string, Added>;
  /** Bytes of new files that are no packs, by their first directory, and of packs beside their blocks. */
  readonly bookkeeping: Record<string, number>;
}

const PAGES: Readonly<Record<number, string>> = {
  1: "page: messages",
  2: "page: mailboxes",
  3: "page: files",
  4: "page: findings",
};
const INNER = 0x80;

/** Looks at an unencrypted repository again and again. */
export class NewObjects {
  readonly #backend: LocalBackend;
  readonly #seen = new Set<string>();

  constructor(repository: string) {
    this.#backend = new LocalBackend(repository);
  }

  async take(): Promise<RepositoryDay> {
    const day: RepositoryDay = { kinds: {}, bookkeeping: {} };
    for await (const { name, bytes } of this.#backend.list("")) {
      if (this.#seen.has(name)) continue;
      this.#seen.add(name);
      if (name.startsWith(PACKS_PREFIX)) await this.#addPack(name, bytes, day);
      else {
        const [place = name] = name.split("/");
        day.bookkeeping[place] = (day.bookkeeping[place] ?? 0) + bytes;
      }
    }
    return day;
  }

  async #addPack(name: string, bytes: number, day: RepositoryDay): Promise<void> {
    const id = parsePackName(name);
    const pack = id === undefined ? undefined : await openPack(this.#backend, id, UNENCRYPTED);
    if (pack === undefined) return;
    const { directory } = pack;
    let blocks = 0;
    for (let block = 0; block < directory.blockCount; block++) {
      const { storedBytes, rawBytes } = directory.blockAt(block);
      blocks += storedBytes;
      const raw = pack.packKind === "meta" ? await readBlock(this.#backend, pack, block) : undefined;
      const contents = raw === undefined ? undefined : [...objectsInBlock(directory, block, raw)];
      const first = directory.firstOrdinal(block);
      for (let ordinal = first; ordinal < directory.firstOrdinal(block + 1); ordinal++) {
        const { headLength, tailLength } = directory.place(ordinal);
        const kind = directory.kindAt(ordinal);
        const start = contents?.[ordinal - first]?.head[0] ?? 0;
        const label = kind === "manifest" ? pageLabel(start) : kind;
        const added = day.kinds[label] ?? { objects: 0, raw: 0, stored: 0 };
        day.kinds[label] = added;
        added.objects++;
        added.raw += headLength + tailLength;
        added.stored += ((headLength + tailLength) * storedBytes) / Math.max(1, rawBytes);
      }
    }
    const rest = `${pack.packKind} packs: header, directory, footer`;
    day.bookkeeping[rest] = (day.bookkeeping[rest] ?? 0) + bytes - blocks;
  }
}

function pageLabel(kind: number): string {
  return kind >= INNER ? "page: inner" : (PAGES[kind] ?? "page: unknown");
}
