/** The messages of one mailbox after the other: by workers where there are any, one by one what they leave. */
import { type ByteString, joinPath } from "../../base/byte-string.ts";
import type { MailboxEntry, MessageEntry } from "../../manifest/model.ts";
import { filesystemOf } from "../link-table.ts";
import type { RestoreUnderWay } from "../run-context.ts";
import { type WriteOutcome, writeFile, writeLink } from "../write-file.ts";
import { MessageRestorer } from "./restore-messages.ts";
import type { MessageJob, MessagePlace } from "./window.ts";

/** Of parts of messages that wait for others, in a file of the target that has no name: where there is room enough. */
const SPILL_BYTES_MAX = 1024 * 1024 * 1024;
const SPILL_BYTES_MIN = 4 * 1024 * 1024;

export class MailboxMessages {
  readonly #underWay: RestoreUnderWay;
  readonly #restorer: MessageRestorer | undefined;

  /** To be closed. */
  constructor(underWay: RestoreUnderWay) {
    this.#underWay = underWay;
    this.#restorer = this.#startWorkers();
  }

  /** With `--overwrite never` each file is written beside its place: one at a time. */
  #startWorkers(): MessageRestorer | undefined {
    const { context, existing, prepared } = this.#underWay;
    const { workers, signal } = context;
    if (workers === undefined || existing === "keep") return undefined;
    const { plan, tree } = prepared;
    const room = plan.spaceFree - plan.spaceNeeded;
    return new MessageRestorer({
      workers,
      target: tree.target,
      compares: existing === "replace",
      messages: plan.messages,
      spillBytesMax: Math.max(SPILL_BYTES_MIN, Math.min(SPILL_BYTES_MAX, Math.floor(room / 4))),
      signal,
      onRestored: (job, outcome, bytes) => this.#noteRestored(job, outcome, bytes),
      restoreOne: (job) => this.#restoreOne(job),
    });
  }

  /**
   * Some of them may wait until `flush`.
   * @param places - real paths of the mailbox's directories, which are there.
   */
  async restore(
    mailbox: MailboxEntry,
    places: readonly ByteString[],
    messages: AsyncIterable<MessageEntry>,
  ): Promise<void> {
    const known = mailbox.directories.map(
      (directory, position): MessagePlace => ({
        directory,
        path: places[position] as ByteString,
        filesystem: filesystemOf(mailbox.partition, directory.role),
      }),
    );
    for await (const message of messages) {
      this.#underWay.context.signal?.throwIfAborted();
      const job = this.#job(message, known[message.directory] as MessagePlace);
      await (this.#restorer?.add(job) ?? this.#restoreOne(job));
    }
  }

  /** Work that may be done while workers write, in order. */
  async meanwhile(work: () => Promise<void>): Promise<void> {
    await (this.#restorer?.meanwhile(work) ?? work());
  }

  /** When this resolves, everything handed over so far has been done. */
  async flush(): Promise<void> {
    await this.#restorer?.flush();
  }

  async close(): Promise<void> {
    await this.#restorer?.close();
  }

  #job(message: MessageEntry, place: MessagePlace): MessageJob {
    const { account, owners, prepared } = this.#underWay;
    if (message.good !== undefined) account.noteGoodCopy(pathOf(place.directory.path, message.uid));
    const { uid, mode, uidOwner, gidOwner, mtimeNs } = message;
    return {
      place,
      uid,
      id: message.good ?? message.object,
      attributes: owners.attributes({ mode, uid: uidOwner, gid: gidOwner, mtimeNs }),
      linked:
        this.#restorer === undefined || prepared.links.has(place.filesystem, message) ? message : undefined,
    };
  }

  /** Whatever stands in its place, whatever is damaged. */
  async #restoreOne(job: MessageJob): Promise<void> {
    const { account, context, existing } = this.#underWay;
    const { uid, id, place, attributes, linked } = job;
    const serverPath = pathOf(place.directory.path, uid);
    const path = pathOf(place.path, uid);
    if (linked !== undefined && this.#link(linked, place, serverPath, path)) return;
    let bytes = 0;
    const content = async function* (): AsyncGenerator<Uint8Array> {
      bytes = 0;
      for await (const stretch of context.source.stream("message", id)) {
        bytes += stretch.length;
        yield stretch;
      }
    };
    const outcome = await account.guarded(serverPath, () => writeFile(path, content, attributes, existing));
    if (outcome === undefined) account.passOver();
    else this.#noteRestored(job, outcome, bytes);
  }

  /** @returns false: it is no link, or cannot be one here. */
  #link(
    message: MessageEntry,
    { filesystem }: MessagePlace,
    serverPath: ByteString,
    path: ByteString,
  ): boolean {
    const { account, existing, prepared } = this.#underWay;
    const source = prepared.links.find(filesystem, message);
    if (source === undefined) return false;
    const outcome = writeLink(source, path, existing);
    if (outcome === false) {
      const why = "could not be made a hard link of its other copy: it is a file of its own";
      account.findings.add("not-linked", "note", serverPath, why);
      return false;
    }
    account.noteOutcome(serverPath, outcome);
    account.count("messages", 0);
    return true;
  }

  #noteRestored({ uid, place, attributes, linked }: MessageJob, outcome: WriteOutcome, bytes: number): void {
    const { account, prepared } = this.#underWay;
    account.noteWritten(pathOf(place.directory.path, uid), outcome, attributes.mode);
    account.count("messages", bytes);
    // What was left as it was may be something else.
    if (outcome.became !== "kept" && linked !== undefined)
      prepared.links.written(place.filesystem, linked, place.path);
  }
}

function pathOf(directory: ByteString, uid: number): ByteString {
  return joinPath(directory, `${uid}.` as ByteString);
}
