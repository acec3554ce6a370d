/**
 * Who suffers when objects cannot be read: the messages, files and pages of a backup that need them. Pages that several
 * backups share are gone through once, so that many backups cost little more than one.
 */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { idKey, type ObjectId } from "../store/object.ts";
import { contentIds } from "./content.ts";
import { filePages } from "./file-page.ts";
import { findingPages } from "./finding-page.ts";
import { mailboxPages } from "./mailbox-page.ts";
import { messagePages } from "./message-page.ts";
import type { Content, MailboxEntry, ManifestRoot, MessageEntry, PageTree } from "./model.ts";
import type { PageCodec, PageKey } from "./page-codec.ts";
import type { PageSource } from "./pages-io.ts";
import { type PageNode, readInnerNode, readLeafNode, topNode } from "./read-page-tree.ts";

export interface SufferingMessage {
  readonly what: "message";
  readonly mailbox: ByteString;
  /** As on the server. */
  readonly path: ByteString;
  readonly uid: number;
  readonly message: MessageEntry;
  /** What cannot be read: of the message itself, or parts that it refers to. */
  readonly lost: readonly ObjectId[];
}

export interface SufferingFile {
  readonly what: "file";
  readonly mailbox: ByteString | undefined;
  readonly path: ByteString;
  readonly content: Content;
  readonly lost: readonly ObjectId[];
}

/** A page that cannot be read, with everything under it. */
export interface SufferingPages {
  readonly what: "pages";
  readonly of: "mailboxes" | "files" | "messages" | "findings";
  readonly mailbox: ByteString | undefined;
  readonly entries: number;
  /** Keys of the first entry, and of the first one behind it, where they are known. */
  readonly from: PageKey | undefined;
  readonly before: PageKey | undefined;
  readonly lost: readonly ObjectId[];
}

export type Sufferer = SufferingMessage | SufferingFile | SufferingPages;

/** Which of an object and of what it refers to cannot be read: nothing, where it is sound. Messages are asked for with their parts. */
export type Lost = (kind: "manifest" | "meta" | "message", id: ObjectId) => Promise<readonly ObjectId[]>;

/** So many sufferers are remembered for pages that come again. */
const REMEMBERED_MAX = 200_000;
const NONE: readonly Sufferer[] = [];

export class SuffererWalk {
  readonly #source: PageSource;
  readonly #lost: Lost;
  readonly #sound = new Set<string>();
  readonly #suffering = new Map<string, readonly Sufferer[]>();
  #remembered = 0;

  /** @param lost - must give the same answer to the same question as long as this lives. */
  constructor(source: PageSource, lost: Lost) {
    this.#source = source;
    this.#lost = lost;
  }

  async root(root: ManifestRoot): Promise<readonly Sufferer[]> {
    const files = await this.#tree(root.files, filePages, "files", undefined, async ({ path, content }) =>
      this.#file(content, path, undefined),
    );
    const mailboxes = await this.#tree(root.mailboxes, mailboxPages, "mailboxes", undefined, (mailbox) =>
      this.mailbox(mailbox),
    );
    const findings = await this.#tree(root.findings, findingPages, "findings", undefined, async () => NONE);
    return [files, mailboxes, findings, await this.#file(root.mailboxList, TEXT_LIST, undefined)].flat();
  }

  async mailbox(mailbox: MailboxEntry): Promise<readonly Sufferer[]> {
    const { name, directories } = mailbox;
    const found: Sufferer[] = [];
    for (const file of mailbox.files)
      found.push(
        ...(await this.#file(
          file.content,
          joinPath(directories[file.directory]?.path ?? name, file.name),
          name,
        )),
      );
    const messages = await this.#tree(
      mailbox.messagePages,
      messagePages,
      "messages",
      name,
      async (message) => {
        const lost = await this.message(message);
        if (lost.length === 0) return NONE;
        const { uid, directory } = message;
        const path = joinPath(directories[directory]?.path ?? name, `${uid}.` as ByteString);
        return [{ what: "message", mailbox: name, path, uid, message, lost } as const];
      },
    );
    for (const sufferer of messages) found.push(sufferer);
    return found;
  }

  async message({ object, good }: MessageEntry): Promise<readonly ObjectId[]> {
    const lost = await this.#lost("message", object);
    return good === undefined ? lost : [...lost, ...(await this.#lost("message", good))];
  }

  async #file(
    content: Content | undefined,
    path: ByteString,
    mailbox: ByteString | undefined,
  ): Promise<readonly Sufferer[]> {
    const lost = content === undefined ? [] : await this.content(content);
    return content === undefined || lost.length === 0
      ? NONE
      : [{ what: "file", mailbox, path, content, lost }];
  }

  async content(content: Content): Promise<readonly ObjectId[]> {
    if (content.form === "inline") return [];
    const lost: ObjectId[] = [];
    if (content.form !== "objects") {
      lost.push(...(await this.#lost("meta", content.list)));
      if (lost.length > 0) return lost;
    }
    try {
      for await (const id of contentIds(content, this.#source)) lost.push(...(await this.#lost("meta", id)));
    } catch (error) {
      if (!isUnreadable(error) || content.form === "objects") throw error;
      return [content.list];
    }
    return lost;
  }

  async #tree<T, K extends PageKey>(
    tree: PageTree,
    codec: PageCodec<T, K>,
    of: SufferingPages["of"],
    mailbox: ByteString | undefined,
    onEntry: (entry: T) => Promise<readonly Sufferer[]>,
  ): Promise<readonly Sufferer[]> {
    const visit = async (node: PageNode<K>): Promise<readonly Sufferer[]> => {
      const page = idKey(node.page);
      if (this.#sound.has(page)) return NONE;
      // The same page of messages may stand in two mailboxes: one that was renamed.
      const place = mailbox === undefined ? page : `${page}${mailbox}`;
      const known = this.#suffering.get(place);
      if (known !== undefined) return known;
      const found = await look(node);
      if (found.length === 0) this.#sound.add(page);
      else if (this.#remembered + found.length <= REMEMBERED_MAX) {
        this.#suffering.set(place, found);
        this.#remembered += found.length;
      }
      return found;
    };
    const look = async (node: PageNode<K>): Promise<readonly Sufferer[]> => {
      const { entries, firstKey: from, before } = node;
      const all = (lost: readonly ObjectId[]): readonly Sufferer[] => [
        { what: "pages", of, mailbox, entries, from, before, lost },
      ];
      const lost = await this.#lost("manifest", node.page);
      if (lost.length > 0) return all(lost);
      const found: Sufferer[] = [];
      let below: readonly PageNode<K>[] = [];
      let leaf: readonly T[] = [];
      try {
        if (node.height > 0) below = await readInnerNode(node, this.#source, codec);
        else leaf = await readLeafNode(node, this.#source, codec);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        return all([node.page]);
      }
      for (const child of below) for (const sufferer of await visit(child)) found.push(sufferer);
      for (const entry of leaf) for (const sufferer of await onEntry(entry)) found.push(sufferer);
      return found;
    };
    let top: PageNode<K> | undefined;
    try {
      top = topNode<K>(tree);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const lost = tree.page === undefined ? [] : [tree.page];
      return [
        { what: "pages", of, mailbox, entries: tree.entries, from: undefined, before: undefined, lost },
      ];
    }
    return top === undefined ? NONE : await visit(top);
  }
}

/** What stands for the text mailbox list, which is no file of the server. */
export const TEXT_LIST = "(the text mailbox list)" as ByteString;

export function isUnreadable(error: unknown): error is CyrvaultError {
  return (
    error instanceof CyrvaultError &&
    (isCyrvaultError(error, "REPOSITORY_DAMAGED") ||
      isCyrvaultError(error, "OBJECT_MISSING") ||
      isCyrvaultError(error, "REPOSITORY_VERSION"))
  );
}
