/**
 * Carries out a message plan: what must be read goes to the pipeline in batches, several under way at once;
 * entries come out in the order of UIDs.
 */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { toHex } from "../base/bytes.ts";
import type { FindingCode, Severity } from "../manifest/finding.ts";
import type { FileStat, MessageEntry } from "../manifest/model.ts";
import type { ObjectId } from "../store/object.ts";
import type { PlaceDirectory } from "./mailbox-places.ts";
import type { EarlierMessage, MessageDecision } from "./message-plan.ts";
import type { MessageFile, MessageOutcome } from "./pipeline/messages.ts";
import type { MessagePipeline } from "./pipeline/pipeline.ts";
import { type NotReached, standInFor } from "./restrict-messages.ts";

const BATCH_FILES = 256;
const BATCH_BYTES = 1024 * 1024;
/** What a message file is taken to have where the index does not tell. */
const UNKNOWN_SIZE_BYTES = 64 * 1024;
/** Decisions that need no reading wait beside those that do: so many at most. */
const STRETCH_DECISIONS = 4096;
const STRETCHES_UNDER_WAY = 6;

export interface CapturedMessage {
  readonly entry: MessageEntry;
  readonly size: number;
}

export interface MessageCaptureInput {
  readonly pipeline: Pick<MessagePipeline, "process">;
  readonly directories: readonly PlaceDirectory[];
  /** Where it lies now, and its stat, if it was put aside. */
  readonly asidePath?: (
    path: ByteString,
  ) => { readonly path: ByteString; readonly stat: FileStat } | undefined;
  /** Whether an object of the store is the message with this GUID. */
  readonly goodCopy: (id: ObjectId, guid: Uint8Array) => Promise<boolean>;
  /** Of messages whose turn came too late. */
  readonly notReached: NotReached;
  readonly find: (
    code: FindingCode,
    severity: Severity,
    path: ByteString,
    message: string,
    uid: number,
  ) => void;
}

type ReadDecision = Extract<MessageDecision, { action: "read" }>;

export class MessageCapture {
  readonly #input: MessageCaptureInput;

  constructor(input: MessageCaptureInput) {
    this.#input = input;
  }

  async *entries(decisions: AsyncIterable<MessageDecision>): AsyncGenerator<CapturedMessage> {
    const underWay: Promise<CapturedMessage[]>[] = [];
    let stretch: MessageDecision[] = [];
    let reads = 0;
    let bytes = 0;
    const begin = (): void => {
      const result = this.#carryOut(stretch);
      // A later stretch may fail while an earlier one is awaited: the failure is met when its turn comes.
      result.catch(() => {});
      underWay.push(result);
      stretch = [];
      reads = 0;
      bytes = 0;
    };
    for await (const decision of decisions) {
      stretch.push(decision);
      if (decision.action === "read") {
        reads++;
        bytes += decision.size ?? UNKNOWN_SIZE_BYTES;
      }
      if (reads >= BATCH_FILES || bytes >= BATCH_BYTES || stretch.length >= STRETCH_DECISIONS) begin();
      while (underWay.length >= STRETCHES_UNDER_WAY) yield* (await underWay.shift()) ?? [];
    }
    if (stretch.length > 0) begin();
    for (const result of underWay) yield* await result;
  }

  async #carryOut(stretch: readonly MessageDecision[]): Promise<CapturedMessage[]> {
    const reads = stretch.filter((decision) => decision.action === "read");
    const outcomes =
      reads.length === 0 ? [] : await this.#input.pipeline.process(reads.map((read) => this.#fileOf(read)));
    const captured: CapturedMessage[] = [];
    let next = 0;
    for (const decision of stretch) {
      if (decision.action === "reuse") captured.push({ entry: decision.entry, size: decision.size });
      else if (decision.action === "missing") this.#push(captured, this.#missing(decision));
      else if (outcomes === undefined) this.#push(captured, standInFor(decision, this.#input.notReached));
      else this.#push(captured, await this.#read(decision, outcomes[next++] as MessageOutcome));
    }
    return captured;
  }

  #push(list: CapturedMessage[], message: CapturedMessage | undefined): void {
    if (message !== undefined) list.push(message);
  }

  async #read(decision: ReadDecision, outcome: MessageOutcome): Promise<CapturedMessage | undefined> {
    const { uid, before } = decision;
    const path = this.#pathOf(decision);
    const { find } = this.#input;
    if (decision.duplicateIn !== undefined) {
      find(
        "message-unlisted",
        "warning",
        path,
        "the message lies in two directories; the one that the index means is kept",
        uid,
      );
    }
    if (outcome.state === "absent") {
      if (decision.indexed) return this.#missing({ action: "missing", uid, expunged: false, before });
      find(
        "file-vanished",
        "note",
        path,
        "a message file that the index does not know vanished before it was read",
        uid,
      );
      return undefined;
    }
    if (outcome.state !== "read") {
      const why =
        outcome.state === "changed" ? "the message file changed while it was read" : outcome.message;
      find(
        outcome.state === "changed" ? "file-changed" : "file-unreadable",
        "error",
        path,
        `${why}${keptNote(before)}`,
        uid,
      );
      return before === undefined ? undefined : kept(before);
    }
    const { id, guidMatches } = outcome;
    const stat = this.#input.asidePath?.(this.#realPathOf(decision))?.stat ?? outcome.stat;
    const sizeMatches = decision.size === undefined || decision.size === stat.size;
    let good: ObjectId | undefined;
    if (guidMatches === false) {
      // Whatever the parent's index said: its SHA-1 proves that it is the message.
      if (before !== undefined && decision.guid !== undefined)
        good = await this.#goodCopy(before.entry, id, decision.guid);
      const what =
        good === undefined
          ? "no earlier backup has a good copy"
          : `the good copy of an earlier backup is kept beside it (object ${toHex(good).slice(0, 16)}), and is what a restore gives`;
      find(
        "message-guid-mismatch",
        "error",
        path,
        `the file is not the message that the index names: its SHA-1 differs from the GUID; ${what}`,
        uid,
      );
    } else if (!sizeMatches) {
      find(
        "message-size-mismatch",
        "error",
        path,
        `the file has ${stat.size} bytes, the index says ${decision.size}`,
        uid,
      );
    }
    if (!decision.indexed) {
      find(
        "message-unlisted",
        "note",
        path,
        "a message file without a record in the index: an append under way, or left over",
        uid,
      );
    }
    const plain = guidMatches !== false && sizeMatches && decision.indexed;
    return {
      entry: {
        uid,
        object: id,
        ...(good === undefined ? {} : { good }),
        directory: decision.directory,
        mode: stat.mode,
        uidOwner: stat.uid,
        gidOwner: stat.gid,
        mtimeNs: stat.mtimeNs,
        inode: stat.inode,
        linked: stat.links > 1,
        ...(plain ? {} : { size: stat.size }),
      },
      size: stat.size,
    };
  }

  async #goodCopy(before: MessageEntry, asRead: ObjectId, guid: Uint8Array): Promise<ObjectId | undefined> {
    for (const id of [before.good, before.object]) {
      if (id !== undefined && !Buffer.from(asRead).equals(id) && (await this.#input.goodCopy(id, guid)))
        return id;
    }
    return undefined;
  }

  #missing(decision: Extract<MessageDecision, { action: "missing" }>): CapturedMessage | undefined {
    const { uid, before, expunged } = decision;
    const path = joinPath(this.#input.directories[0]?.path as ByteString, `${uid}.` as ByteString);
    const what = expunged ? "an expunged message that could still be brought back" : "a message";
    this.#input.find(
      "message-missing",
      "error",
      path,
      `${what} has a record in the index and no file${keptNote(before)}`,
      uid,
    );
    return before === undefined ? undefined : kept(before);
  }

  #fileOf(decision: ReadDecision): MessageFile {
    const { guid } = decision;
    const path = this.#realPathOf(decision);
    return {
      path: this.#input.asidePath?.(path)?.path ?? path,
      guid: guid === undefined ? undefined : Uint8Array.from(guid),
    };
  }

  #realPathOf({ uid, directory }: ReadDecision): ByteString {
    return joinPath(this.#input.directories[directory]?.realPath as ByteString, `${uid}.` as ByteString);
  }

  #pathOf({ uid, directory }: ReadDecision): ByteString {
    return joinPath(this.#input.directories[directory]?.path as ByteString, `${uid}.` as ByteString);
  }
}

/** Marked by its size, so that it is looked at again next time. */
function kept({ entry, size = 0 }: EarlierMessage): CapturedMessage {
  return { entry: { ...entry, size }, size };
}

function keptNote(before: EarlierMessage | undefined): string {
  return before === undefined ? "" : "; the copy of an earlier backup is kept";
}
