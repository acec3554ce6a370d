/**
 * Every object that a backup needs, in the order of its trees. Checking, measuring and deleting go by it. Parts
 * that several backups share are gone through once: `visit` says whether an object is new to the caller.
 */
import { toText } from "../base/byte-string.ts";
import { type CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { ObjectId, ObjectKind } from "../store/object.ts";
import { contentIds } from "./content.ts";
import { filePages } from "./file-page.ts";
import { findingPages } from "./finding-page.ts";
import { mailboxPages } from "./mailbox-page.ts";
import { messagePages } from "./message-page.ts";
import type { Content, ManifestRoot, PageTree } from "./model.ts";
import type { PageCodec, PageKey } from "./page-codec.ts";
import type { PageSource } from "./pages-io.ts";
import { type PageNode, readInnerNode, readLeafNode, topNode } from "./read-page-tree.ts";

export interface NeededVisitor {
  /**
   * Called for each reference; objects of messages come without what they refer to in their turn.
   * @param where - what needs it, for people: `user.anna.Work, UID 4`.
   * @returns true: go on to what it leads to. False: that has been done, or cannot be.
   */
  visit(kind: ObjectKind, id: ObjectId, where: () => string): Promise<boolean>;
  /** A page or list cannot be read: what it leads to is passed over. Throw to end the walk instead. */
  onDamage(error: CyrvaultError, where: () => string): void;
}

/** Holds one page of each level, and one of mailboxes. */
export async function visitNeeded(
  root: ManifestRoot,
  source: PageSource,
  visitor: NeededVisitor,
): Promise<void> {
  await new Walk(source, visitor).root(root);
}

class Walk {
  readonly #source: PageSource;
  readonly #visitor: NeededVisitor;

  constructor(source: PageSource, visitor: NeededVisitor) {
    this.#source = source;
    this.#visitor = visitor;
  }

  async root(root: ManifestRoot): Promise<void> {
    const of = (what: string) => () => `${what} of backup ${root.backup}`;
    await this.#tree(root.files, filePages, of("files"), async (entry) => {
      if (entry.content !== undefined) await this.#content(entry.content, () => toText(entry.path));
    });
    await this.#tree(root.mailboxes, mailboxPages, of("mailboxes"), async (mailbox) => {
      const where = () => toText(mailbox.name);
      for (const { content, name } of mailbox.files)
        if (content !== undefined) await this.#content(content, () => `${where()}, ${toText(name)}`);
      await this.#tree(mailbox.messagePages, messagePages, where, async ({ uid, object, good }) => {
        const ofMessage = () => `${where()}, UID ${uid}`;
        await this.#visitor.visit("message", object, ofMessage);
        if (good !== undefined) await this.#visitor.visit("message", good, ofMessage);
      });
    });
    await this.#tree(root.findings, findingPages, of("findings"), async () => undefined);
    if (root.mailboxList !== undefined) await this.#content(root.mailboxList, of("the text mailbox list"));
  }

  async #tree<T, K extends PageKey>(
    tree: PageTree,
    codec: PageCodec<T, K>,
    where: () => string,
    onEntry: (entry: T) => Promise<void>,
  ): Promise<void> {
    const top = await this.#guarded(async () => topNode<K>(tree), where);
    const waiting: PageNode<K>[] = top === undefined ? [] : [top];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      const here = node;
      if (!(await this.#visitor.visit("manifest", here.page, where))) continue;
      if (here.height > 0) {
        const children = await this.#guarded(() => readInnerNode(here, this.#source, codec), where);
        for (const child of (children ?? []).reverse()) waiting.push(child);
        continue;
      }
      const entries = await this.#guarded(() => readLeafNode(here, this.#source, codec), where);
      for (const entry of entries ?? []) await onEntry(entry);
    }
  }

  async #content(content: Content, where: () => string): Promise<void> {
    if (content.form === "inline") return;
    const isListed = content.form !== "objects";
    if (isListed && !(await this.#visitor.visit("meta", content.list, where))) return;
    await this.#guarded(async () => {
      let isFirst = isListed;
      for await (const id of contentIds(content, this.#source)) {
        if (!isFirst) await this.#visitor.visit("meta", id, where);
        isFirst = false;
      }
    }, where);
  }

  async #guarded<R>(read: () => Promise<R>, where: () => string): Promise<R | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!isCyrvaultError(error) || !UNREADABLE.has(error.code)) throw error;
      this.#visitor.onDamage(error, where);
      return undefined;
    }
  }
}

const UNREADABLE: ReadonlySet<CyrvaultError["code"]> = new Set([
  "REPOSITORY_DAMAGED",
  "REPOSITORY_VERSION",
  "OBJECT_MISSING",
]);
