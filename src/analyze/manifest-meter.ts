/** What the records of a backup would take (its pages, and the small files that they name): made, and thrown away. */

import type { ByteString } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { FileStat } from "../base/file-stat.ts";
import { chunkSmallFile } from "../chunker/small-file.ts";
import { storeContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { Content, FileEntry, MailboxEntry, MessageEntry } from "../manifest/model.ts";
import type { PageCodec } from "../manifest/page-codec.ts";
import { PageTreeWriter } from "../manifest/page-tree.ts";
import type { PageKind, PageSink } from "../manifest/pages-io.ts";
import { SourceFile } from "../source/read-file.ts";
import type { Compression } from "../store/codec.ts";
import type { ObjectId } from "../store/object.ts";
import { ObjectHasher } from "../store/object-id.ts";
import { UNENCRYPTED } from "../store/seal-context.ts";
import { PackMeter, type PackTotals } from "./pack-meter.ts";
import { SeenSet } from "./seen-set.ts";

const NOTHING = new Uint8Array(0);

export class ManifestMeter implements PageSink {
  readonly #packs: PackMeter;
  readonly #hasher = new ObjectHasher(UNENCRYPTED);
  readonly #seen = new SeenSet();
  readonly #mailboxes: Page<MailboxEntry>;
  readonly #files: Page<FileEntry>;

  constructor(compression: Compression) {
    this.#packs = new PackMeter("meta", compression);
    this.#mailboxes = new Page(mailboxPages, this);
    this.#files = new Page(filePages, this);
  }

  get totals(): PackTotals {
    return this.#packs.totals;
  }

  async put(kind: PageKind, bytes: Uint8Array): Promise<ObjectId> {
    const id = this.#hasher.id(kind, bytes);
    if (this.#seen.add(Buffer.from(id.buffer, id.byteOffset, id.length)))
      this.#packs.add({ kind, id, head: bytes, tail: NOTHING, references: [] });
    return id;
  }

  messages(): PageTreeWriter<MessageEntry, number> {
    return new PageTreeWriter(messagePages, this);
  }

  /** @returns undefined where it cannot be read. */
  async content(
    name: ByteString,
    realPath: ByteString,
  ): Promise<{ stat: FileStat; content: Content } | undefined> {
    let source: SourceFile | undefined;
    try {
      source = SourceFile.open(realPath);
      if (source === undefined) return undefined;
      const { stat } = source;
      const file = source;
      const chunks = chunkSmallFile(name, stat.size, (offset, length) => file.read(offset, length));
      return { stat, content: await storeContent(chunks, this) };
    } catch (error) {
      if (error instanceof CyrvaultError) return undefined;
      throw error;
    } finally {
      source?.close();
    }
  }

  async mailbox(entry: MailboxEntry): Promise<void> {
    await this.#mailboxes.add(entry);
  }

  async file(entry: FileEntry): Promise<void> {
    await this.#files.add(entry);
  }

  /** After the last mailbox. */
  async endMailboxes(): Promise<void> {
    await this.#mailboxes.flush();
  }

  /** Last. */
  async finish(): Promise<void> {
    await this.#files.flush();
    this.#packs.finish();
  }
}

/** Entries come in the order of the walk, which need not be that of a page tree: each page is put in order. */
class Page<T> {
  readonly #codec: PageCodec<T, ByteString>;
  readonly #sink: PageSink;
  #entries = new Map<ByteString, T>();

  constructor(codec: PageCodec<T, ByteString>, sink: PageSink) {
    this.#codec = codec;
    this.#sink = sink;
  }

  async add(entry: T): Promise<void> {
    this.#entries.set(this.#codec.key(entry), entry);
    if (this.#entries.size >= this.#codec.cut.avg) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#entries.size === 0) return;
    const ordered = [...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
    this.#entries = new Map();
    await this.#sink.put("manifest", this.#codec.encode(ordered));
  }
}
