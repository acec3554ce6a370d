/**
 * Mailboxes that a backup holds without all of their messages, because it was asked to: what a restore makes of them.
 * The cyrus.index stored is the server's own; written is one in which what is not there is expunged.
 */
import { type ByteString, toText } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { parseAnnotationKey, parseAnnotationValue } from "../cyrus/annotations.ts";
import { readDatabase } from "../cyrus/database.ts";
import { canExpunge, expungeLeftOut } from "../cyrus/left-out-records.ts";
import { type MailboxHeader, parseMailboxHeader } from "../cyrus/mailbox-header.ts";
import { userOf } from "../cyrus/mailbox-name.ts";
import type { MessageAnnotation } from "../cyrus/sync-crc.ts";
import { contentSize, readContent } from "../manifest/content.ts";
import { isExcludedEntry } from "../manifest/excluded-mailboxes.ts";
import { type MessageFilter, messageFilter } from "../manifest/message-filter.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { MailboxEntry, MailboxFile, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { soundEntries } from "../manifest/sound-pages.ts";
import type { RestoreFindings } from "./findings.ts";

export type IndexContent = () => AsyncIterable<Uint8Array>;

const OWNER = "[.OwNeR.]";
/** A larger file of annotations is not looked into: the checksum over annotations is then the server's affair. */
const ANNOTATIONS_BYTES_MAX = 64 * 1024 * 1024;

export class LeftOutIndex {
  readonly #root: ManifestRoot;
  readonly #source: PageSource;
  readonly #filter: MessageFilter | undefined;
  readonly #isRaw: boolean;
  readonly #emptied = new NamedMailboxes();
  readonly #thinned = new NamedMailboxes();

  constructor(root: ManifestRoot, source: PageSource, options: { readonly rawIndex?: boolean | undefined }) {
    this.#root = root;
    this.#source = source;
    this.#filter = messageFilter(root.selection, root.startedMs);
    this.#isRaw = options.rawIndex === true;
  }

  /**
   * @returns what is written in the place of a file; undefined: the file as it is stored.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED`, `OBJECT_MISSING`. An index that is not understood is written as it is.
   */
  async contentFor(mailbox: MailboxEntry, file: MailboxFile): Promise<IndexContent | undefined> {
    const { content } = file;
    if (this.#isRaw || file.name !== "cyrus.index" || content === undefined) return undefined;
    const isExcluded = isExcludedEntry(this.#root, mailbox.name);
    const filter = this.#filter;
    if ((!isExcluded && filter === undefined) || !canExpunge(mailbox.indexVersion)) return undefined;
    const present = await this.#present(mailbox);
    const { flagNames = [] } = (await this.#header(mailbox)) ?? {};
    const annotations = await this.#annotations(mailbox);
    try {
      const changed = await expungeLeftOut({
        read: () => readContent(content, this.#source),
        flagNames,
        annotations: (uid) => annotations.get(uid) ?? [],
        atMs: this.#root.startedMs,
        isLeftOut: () => {
          let next = 0;
          return (record) => {
            while (next < present.length && (present[next] as number) < record.uid) next++;
            if (present[next] === record.uid) return false;
            return isExcluded || filter?.(record) === true;
          };
        },
      });
      if (changed !== undefined) (isExcluded ? this.#emptied : this.#thinned).add(mailbox);
      return changed?.content;
    } catch (error) {
      if (isCyrvaultError(error, "CYRUS_BAD_FORMAT") || isCyrvaultError(error, "CYRUS_BAD_CHECKSUM"))
        return undefined;
      throw error;
    }
  }

  /** Says of which mailboxes something else was written than the server had: whoever looks for mail must not trust them. */
  note(findings: Pick<RestoreFindings, "add">): void {
    const [emptied, thinned] = [this.#emptied, this.#thinned];
    if (emptied.first !== undefined)
      findings.add(
        "excluded-empty",
        "note",
        emptied.first,
        `excluded from the backup, and empty here: ${emptied.text}`,
      );
    if (thinned.first !== undefined)
      findings.add(
        "messages-left-out",
        "note",
        thinned.first,
        `without the messages that the backup leaves out by size or age: ${thinned.text}`,
      );
  }

  /** UIDs, ascending. */
  async #present(mailbox: MailboxEntry): Promise<Uint32Array> {
    const uids = new Uint32Array(mailbox.messagePages.entries);
    let count = 0;
    for await (const { uid } of soundEntries(mailbox.messagePages, this.#source, messagePages, () => {}))
      uids[count++] = uid;
    return uids.subarray(0, count);
  }

  async #header(mailbox: MailboxEntry): Promise<MailboxHeader | undefined> {
    const bytes = await this.#fileOf(mailbox, "cyrus.header");
    try {
      return bytes === undefined ? undefined : parseMailboxHeader(bytes);
    } catch (error) {
      if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT")) throw error;
      return undefined;
    }
  }

  async #annotations(mailbox: MailboxEntry): Promise<Map<number, MessageAnnotation[]>> {
    const found = new Map<number, MessageAnnotation[]>();
    const bytes = await this.#fileOf(mailbox, "cyrus.annotations");
    if (bytes === undefined) return found;
    const owner = userOf(mailbox.name, this.#root.cyrus.layout["deletedPrefix"] ?? "DELETED");
    try {
      const database = readDatabase(bytes);
      if (!database.readable) return found;
      for (const { key, value } of database.records) {
        const { subject, entry, user } = parseAnnotationKey(key);
        const { value: text, deleted } = parseAnnotationValue(value);
        const uid = Number(subject);
        if (deleted || !Number.isSafeInteger(uid)) continue;
        const userId = user === OWNER ? (owner ?? user) : user;
        const list = found.get(uid) ?? [];
        list.push({ entry, userId, value: text });
        found.set(uid, list);
      }
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
    }
    return found;
  }

  async #fileOf(mailbox: MailboxEntry, name: string): Promise<Buffer | undefined> {
    const content = mailbox.files.find((file) => file.name === name)?.content;
    if (content === undefined || contentSize(content) > ANNOTATIONS_BYTES_MAX) return undefined;
    const parts: Uint8Array[] = [];
    for await (const part of readContent(content, this.#source)) parts.push(part);
    return Buffer.concat(parts);
  }
}

const NAMES_SHOWN = 5;

class NamedMailboxes {
  readonly #names: string[] = [];
  #count = 0;
  #first: ByteString | undefined;

  add({ name, directories }: MailboxEntry): void {
    this.#count++;
    this.#first ??= directories[0]?.path ?? name;
    if (this.#names.length < NAMES_SHOWN) this.#names.push(toText(name));
  }

  /** Its directory. */
  get first(): ByteString | undefined {
    return this.#first;
  }

  get text(): string {
    const more = this.#count - this.#names.length;
    return this.#names.join(", ") + (more > 0 ? ` and ${more} more` : "");
  }
}
