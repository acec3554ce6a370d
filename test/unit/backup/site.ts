/** A tiny server, a repository in memory, and what a test asks of the backups in it. */
import type { Backend } from "../../../src/backend/backend.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import type { BackupOptions, BackupResult } from "../../../src/backup/options.ts";
import { runBackup } from "../../../src/backup/run.ts";
import type { BackupContext } from "../../../src/backup/run-context.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import { SimulatedClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import { readContent } from "../../../src/manifest/content.ts";
import { filePages } from "../../../src/manifest/file-page.ts";
import type { FindingCode } from "../../../src/manifest/finding.ts";
import { mailboxPages } from "../../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../../src/manifest/message-page.ts";
import type { FileEntry, MailboxEntry, ManifestRoot, MessageEntry } from "../../../src/manifest/model.ts";
import { readPageTree } from "../../../src/manifest/read-page-tree.ts";
import { decodeRoot } from "../../../src/manifest/root.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import { initRepository, openRepository, type Repository } from "../../../src/store/repository.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { TinyServer } from "./tiny-server.ts";

export interface Stored {
  readonly entry: MessageEntry;
  readonly text: string;
}

export class Site implements Disposable {
  readonly dir: TempDir = tempDir();
  readonly server: TinyServer = new TinyServer(this.dir.in("snapshot"));
  readonly clock = new SimulatedClock();
  readonly backend: Backend = new MemoryBackend();
  repository!: Repository;
  #backups = 0;

  static async make(): Promise<Site> {
    const site = new Site();
    await initRepository(site.backend, { noEncryption: true });
    await site.reopen();
    return site;
  }

  /** As a new process would. */
  async reopen(): Promise<void> {
    this.repository = await openRepository(this.backend, { assemble: assembleMessage });
  }

  /** What the options are when a test says nothing. */
  options(options: Partial<BackupOptions> = {}): BackupOptions {
    return {
      config: undefined,
      root: fromText(this.server.root),
      mappings: [],
      server: undefined,
      includes: [],
      excludeMailboxes: [],
      withoutDerivable: false,
      withSearch: false,
      compression: "fast",
      scrub: 0,
      threads: 0,
      checkpointMs: 1e9,
      checkpointBytes: 1e15,
      ...options,
    };
  }

  /** Ten seconds after the last change unless `aged` is false, so that nothing is racy. */
  async backUp(
    options: Partial<BackupOptions> = {},
    context: Partial<BackupContext> & { readonly aged?: boolean } = {},
  ): Promise<BackupResult> {
    const { aged = true, ...rest } = context;
    this.clock.jumpTo(Date.now() + (aged ? 10_000 : 0) + 60_000 * this.#backups);
    if (aged) this.#backups++;
    return await runBackup(this.options(options), {
      repository: this.repository,
      clock: this.clock,
      progress: new Progress(),
      acceptRules: [],
      ...rest,
    });
  }

  async root(result: Pick<BackupResult, "backup">): Promise<ManifestRoot> {
    return decodeRoot(await this.repository.readBackup(result.backup));
  }

  async mailboxes(result: Pick<BackupResult, "backup">): Promise<Map<string, MailboxEntry>> {
    const found = new Map<string, MailboxEntry>();
    const { mailboxes } = await this.root(result);
    for await (const entry of readPageTree(mailboxes, this.repository.objects, mailboxPages))
      found.set(entry.name, entry);
    return found;
  }

  async files(result: Pick<BackupResult, "backup">): Promise<Map<string, FileEntry>> {
    const found = new Map<string, FileEntry>();
    for await (const entry of readPageTree(
      (await this.root(result)).files,
      this.repository.objects,
      filePages,
    ))
      found.set(entry.path, entry);
    return found;
  }

  async fileText(entry: Pick<FileEntry, "content"> | undefined): Promise<string | undefined> {
    if (entry?.content === undefined) return undefined;
    const parts: Uint8Array[] = [];
    for await (const part of readContent(entry.content, this.repository.objects)) parts.push(part);
    return Buffer.concat(parts).toString("latin1");
  }

  /** By UID; each message put together from the store. */
  async messages(result: Pick<BackupResult, "backup">, mailbox: string): Promise<Map<number, Stored>> {
    const found = new Map<number, Stored>();
    const entry = (await this.mailboxes(result)).get(mailbox);
    if (entry === undefined) return found;
    for await (const message of readPageTree(entry.messagePages, this.repository.objects, messagePages))
      found.set(message.uid, { entry: message, text: await this.text(message.object) });
    return found;
  }

  async text(id: ObjectId): Promise<string> {
    const parts: Uint8Array[] = [];
    for await (const part of this.repository.objects.stream("message", id)) parts.push(Buffer.from(part));
    return Buffer.concat(parts).toString("latin1");
  }

  [Symbol.dispose](): void {
    this.dir.remove();
  }
}

export function codesOf(result: BackupResult): FindingCode[] {
  return result.findings.map(({ code }) => code);
}
