/**
 * What the repository cannot read any more is taken again where it came from: the server's files, or another
 * repository that has them under the same name. Only the very same bytes will do: they must have the lost id.
 */
import { type ByteString, pathKey } from "../base/byte-string.ts";
import { equalBytes } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import { chunkSmallFile } from "../chunker/small-file.ts";
import { readContent, storeContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { Content, MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import { findInPageTree } from "../manifest/read-page-tree.ts";
import { decodeRoot } from "../manifest/root.ts";
import {
  isUnreadable,
  type Sufferer,
  type SufferingFile,
  type SufferingMessage,
} from "../manifest/sufferers.ts";
import { SourceFile } from "../source/read-file.ts";
import { baseName, parentOf, type SourceView } from "../source/view.ts";
import { idKey, type ObjectId } from "../store/object.ts";
import type { Repository } from "../store/repository.ts";
import type { Recovery } from "./recovery.ts";
import type { Saver } from "./saver.ts";

export interface RetakeParts {
  readonly saver: Saver;
  readonly recovery: Recovery;
  readonly other: Repository | undefined;
  readonly spool: SourceView | undefined;
}

type Origin = "fromSpool" | "fromRepository";

export class Retaker {
  readonly counts = { fromSpool: 0, fromRepository: 0 };
  readonly #parts: RetakeParts;
  readonly #tried = new Set<string>();
  #roots: readonly ManifestRoot[] | undefined;
  /** Of the other repository's backups, what was asked for last. */
  readonly #mailboxes = new Map<string, { name: ByteString; entry: MailboxEntry | undefined }>();

  constructor(parts: RetakeParts) {
    this.#parts = parts;
  }

  /** @param server - whose backup suffers. */
  async take(sufferer: Sufferer, server: string): Promise<void> {
    if (sufferer.what === "pages") return;
    const { recovery } = this.#parts;
    const lost = sufferer.lost.filter((id) => recovery.isLost(id));
    const [first] = lost;
    if (first === undefined) return;
    const attempt = `${server}\0${sufferer.path}\0${idKey(first)}`;
    if (this.#tried.has(attempt)) return;
    this.#tried.add(attempt);
    if (sufferer.what === "message") await this.#message(sufferer, lost, server);
    else await this.#file(sufferer, lost, server);
  }

  async #message(sufferer: SufferingMessage, lost: readonly ObjectId[], server: string): Promise<void> {
    const { saver, recovery, spool } = this.#parts;
    const { object, good } = sufferer.message;
    const isDone = async (bytes: Buffer, origin: Origin): Promise<boolean> => {
      const id = saver.hasher.id("message", bytes);
      if (!equalBytes(id, object) && (good === undefined || !equalBytes(id, good))) return false;
      const parts = await saver.saveMessage(id, bytes);
      const saved = new Set([idKey(id), ...parts.map(idKey)]);
      for (const one of lost) if (saved.has(idKey(one)) && recovery.isLost(one)) this.#note(one, origin);
      return lost.every((one) => !recovery.isLost(one));
    };
    const bytes = spool === undefined ? undefined : readWhole(spool, sufferer.path);
    if (bytes !== undefined && (await isDone(bytes, "fromSpool"))) return;
    for await (const found of this.#messagesElsewhere(sufferer, server))
      if (await isDone(found, "fromRepository")) return;
  }

  async #file(sufferer: SufferingFile, lost: readonly ObjectId[], server: string): Promise<void> {
    const { recovery, spool } = this.#parts;
    const bytes = spool === undefined ? undefined : readWhole(spool, sufferer.path);
    if (bytes !== undefined) await this.#pieces(sufferer.path, bytes, lost, "fromSpool");
    if (lost.every((one) => !recovery.isLost(one))) return;
    for await (const found of this.#filesElsewhere(sufferer, server)) {
      await this.#pieces(sufferer.path, found, lost, "fromRepository");
      if (lost.every((one) => !recovery.isLost(one))) return;
    }
  }

  /** Cut as a backup cuts it: a file that has changed since may still have the piece that was lost. */
  async #pieces(path: ByteString, bytes: Buffer, lost: readonly ObjectId[], origin: Origin): Promise<void> {
    const { saver, recovery } = this.#parts;
    const wanted = new Set(lost.map(idKey));
    const read = (offset: number, length: number) => bytes.subarray(offset, offset + length);
    await storeContent(chunkSmallFile(baseName(path), bytes.length, read), {
      put: async (kind, piece) => {
        const id = saver.hasher.id(kind, piece);
        if (wanted.has(idKey(id)) && recovery.isLost(id)) {
          await saver.save(kind, id, piece);
          this.#note(id, origin);
        }
        return id;
      },
    });
  }

  #note(id: ObjectId, origin: Origin): void {
    this.#parts.recovery.noteTaken(id);
    this.counts[origin]++;
  }

  async *#messagesElsewhere({ mailbox, uid }: SufferingMessage, server: string): AsyncGenerator<Buffer> {
    const { other } = this.#parts;
    if (other === undefined) return;
    const seen = new Set<string>();
    for (const root of await this.#rootsElsewhere(server)) {
      const ids: ObjectId[] = [];
      try {
        const entry = await this.#mailboxElsewhere(root, mailbox);
        const found =
          entry === undefined
            ? undefined
            : await findInPageTree(entry.messagePages, uid, other.objects, messagePages);
        if (found !== undefined) ids.push(found.object);
        if (found?.good !== undefined) ids.push(found.good);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
      }
      for (const id of ids) {
        if (seen.has(idKey(id))) continue;
        seen.add(idKey(id));
        const bytes = await readable(() => other.objects.get("message", id));
        if (bytes !== undefined) yield bytes;
      }
    }
  }

  async *#filesElsewhere({ path, mailbox }: SufferingFile, server: string): AsyncGenerator<Buffer> {
    const { other } = this.#parts;
    if (other === undefined) return;
    for (const root of await this.#rootsElsewhere(server)) {
      let content: Content | undefined;
      try {
        if (mailbox === undefined)
          content = (await findInPageTree(root.files, pathKey(path), other.objects, filePages))?.content;
        else {
          const entry = await this.#mailboxElsewhere(root, mailbox);
          content = entry?.files.find(
            ({ name, directory }) =>
              name === baseName(path) && entry.directories[directory]?.path === parentOf(path),
          )?.content;
        }
      } catch (error) {
        if (!isUnreadable(error)) throw error;
      }
      if (content === undefined) continue;
      const found = content;
      const bytes = await readable(async () => {
        const parts: Uint8Array[] = [];
        for await (const part of readContent(found, other.objects)) parts.push(Uint8Array.from(part));
        return Buffer.concat(parts);
      });
      if (bytes !== undefined) yield bytes;
    }
  }

  /** Of the same server, the newest first; where there is none of it, all. */
  async #rootsElsewhere(server: string): Promise<readonly ManifestRoot[]> {
    const { other } = this.#parts;
    if (this.#roots === undefined) {
      const roots: ManifestRoot[] = [];
      for (const { id } of (await other?.listBackups()) ?? []) {
        const bytes = await readable(async () => await (other as Repository).readBackup(id));
        if (bytes !== undefined) roots.push(decodeRoot(bytes));
      }
      this.#roots = roots.reverse();
    }
    const ofServer = this.#roots.filter((root) => root.server === server);
    return ofServer.length > 0 ? ofServer : this.#roots;
  }

  async #mailboxElsewhere(root: ManifestRoot, name: ByteString): Promise<MailboxEntry | undefined> {
    const last = this.#mailboxes.get(root.backup);
    if (last?.name === name) return last.entry;
    const { other } = this.#parts;
    const entry =
      other === undefined
        ? undefined
        : await findInPageTree(root.mailboxes, name, other.objects, mailboxPages);
    this.#mailboxes.set(root.backup, { name, entry });
    return entry;
  }
}

async function readable(read: () => Promise<Buffer>): Promise<Buffer | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return undefined;
  }
}

/** undefined: it is not there, cannot be read, or changes. */
function readWhole(view: SourceView, path: ByteString): Buffer | undefined {
  try {
    const realPath = view.resolve(path)?.realPath;
    const file = realPath === undefined ? undefined : SourceFile.open(realPath);
    if (file === undefined) return undefined;
    try {
      const bytes = file.read(0, file.stat.size);
      return bytes.length === file.stat.size ? bytes : undefined;
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof CyrvaultError && (error.code === "IO" || error.code === "SOURCE_INVALID"))
      return undefined;
    throw error;
  }
}
