/** The message files of the sample: told apart, and each content taken apart once. */
import { createHash } from "node:crypto";
import type { ByteString } from "../base/byte-string.ts";
import { equalBytes } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import { MESSAGE_BYTES_IN_MEMORY_MAX } from "../base/limits.ts";
import { type ByteSource, memorySource, windowedSource } from "../chunker/byte-source.ts";
import { DEFAULT_SPLIT_PARAMETERS } from "../chunker/split-parameters.ts";
import { lstatSource, SourceFile, type SourceStat } from "../source/read-file.ts";
import { asObjectId, type ObjectId } from "../store/object.ts";
import { laneOfPart } from "../store/part-lane.ts";
import { LargestAttachments } from "./largest-attachments.ts";
import { type MeasuredMessage, measureMessage } from "./measure-message.ts";
import { type Draw, draw } from "./sampling.ts";
import { SeenSet } from "./seen-set.ts";
import type { Tally } from "./tally.ts";

const WINDOW_BYTES = 1024 * 1024;
const NOTHING = new Uint8Array(0);

/** A message file as the manifest would name it. */
export interface NamedMessage {
  readonly object: ObjectId;
  readonly stat: SourceStat["stat"];
}

export interface MessageFile {
  readonly path: ByteString;
  /** Of the index; a view. */
  readonly guid: Buffer | undefined;
  /** The number of its mailbox. */
  readonly mailbox: number;
  /** Its mailbox's records are measured: its stat is wanted, in the sample or not. */
  readonly recorded: boolean;
}

export class MessageReader {
  readonly largest = new LargestAttachments(DEFAULT_SPLIT_PARAMETERS.partBytesMin);
  readonly #tally: Tally;
  readonly #messages: SeenSet;
  readonly #links = new SeenSet();

  /** @param expected - how many different messages there may be at most. */
  constructor(tally: Tally, expected: number) {
    this.#tally = tally;
    this.#messages = new SeenSet(expected);
  }

  /** @returns undefined where there is no such file, or nobody wants to know. */
  read(file: MessageFile): NamedMessage | undefined {
    try {
      return this.#read(file);
    } catch (error) {
      if (!(error instanceof CyrvaultError)) throw error;
      this.#tally.unreadable++;
      return undefined;
    }
  }

  #read({ path, guid, mailbox, recorded }: MessageFile): NamedMessage | undefined {
    const tally = this.#tally;
    let hash = guid;
    if (hash === undefined) {
      tally.withoutGuid++;
      hash = withFile(path, (source) => sha1Of(source));
      if (hash === undefined) return undefined;
    }
    const drawn = draw(hash, tally.share);
    if (!drawn.chosen && !recorded) return undefined;
    const found = lstatSource(path);
    if (found?.type !== "file") {
      tally.missing++;
      return undefined;
    }
    if (!drawn.chosen) return { object: standInId(hash), stat: found.stat };
    if (this.#messages.has(hash)) {
      this.#countFile(drawn, found);
      this.largest.again(hash, mailbox);
    } else {
      const named = hash;
      hash =
        withFile(path, (source, inMemory) => this.#readNew(named, found, mailbox, source, inMemory)) ?? named;
    }
    return { object: standInId(hash), stat: found.stat };
  }

  /** @returns the SHA-1 of the file, which is not always what its index says. */
  #readNew(named: Buffer, found: SourceStat, mailbox: number, source: ByteSource, inMemory: boolean): Buffer {
    const tally = this.#tally;
    const hash = sha1Of(source);
    if (!equalBytes(hash, named)) tally.guidMismatch++;
    const drawn = draw(hash, tally.share);
    if (!drawn.chosen) return hash;
    this.#countFile(drawn, found);
    if (!this.#messages.add(hash)) {
      this.largest.again(hash, mailbox);
      return hash;
    }
    const measured = this.#measure(source, inMemory, drawn.group);
    tally.messages.add(drawn.group, 1);
    tally.messageBytes.add(drawn.group, measured.size);
    this.#take(hash, measured, drawn.group);
    this.largest.first(hash, measured.bodies, mailbox);
    return hash;
  }

  #countFile({ group }: Draw, { stat, device }: SourceStat): void {
    const tally = this.#tally;
    tally.files.add(group, 1);
    tally.fileBytes.add(group, stat.size);
    if (stat.links <= 1) return;
    const key = createHash("sha1").update(`${device}:${stat.inode}`).digest();
    if (this.#links.add(key)) return;
    tally.linkedFiles.add(group, 1);
    tally.linkedBytes.add(group, stat.size);
  }

  #measure(source: ByteSource, inMemory: boolean, group: number): MeasuredMessage {
    const { chunks, parts } = this.#tally;
    const met = new Set<string>();
    return measureMessage(source, !inMemory, (bytes, hash, kind) => {
      if (!isFirst(met, hash) || !chunks.add(hash, bytes.length, group, kind)) return;
      parts[kind].add(
        { kind: "data", id: asObjectId(hash), head: bytes, tail: NOTHING, references: [] },
        laneOfPart(bytes),
      );
    });
  }

  #take(hash: Buffer, { size, bodies, head, tail, parts }: MeasuredMessage, group: number): void {
    const tally = this.#tally;
    const references = parts.map((part) => asObjectId(part.hash));
    tally.texts.add({ kind: "message", id: standInId(hash), head, tail, references });
    tally.ownStored.add(group, head.length + tail.length);
    const encoded = new Set<string>();
    const decoded = new Set<string>();
    let ownEncoded = size;
    for (const body of bodies) {
      ownEncoded -= body.encodedBytes;
      if (isFirst(encoded, body.encodedHash))
        tally.encodedBodies.add(body.encodedHash, body.encodedBytes, group, body.kind);
      if (!isFirst(decoded, body.hash)) continue;
      tally.decodedBodies.add(body.hash, body.bytes, group, body.kind);
      if (body.kind === "attachment") tally.attachments.add(body.hash, body.bytes, group, body.kind);
    }
    tally.ownEncoded.add(group, ownEncoded);
  }
}

function isFirst(met: Set<string>, hash: Buffer): boolean {
  const { size } = met;
  return met.add(hash.toString("latin1")).size > size;
}

/** As long, and as random, as the name that a backup would give it. */
function standInId(hash: Buffer): ObjectId {
  return asObjectId(createHash("sha256").update(hash).digest());
}

/** @returns undefined where there is no such file. @throws {CyrvaultError} `IO`, `SOURCE_INVALID`. */
function withFile<T>(path: ByteString, use: (source: ByteSource, inMemory: boolean) => T): T | undefined {
  const file = SourceFile.open(path);
  if (file === undefined) return undefined;
  try {
    const { size } = file.stat;
    if (size <= MESSAGE_BYTES_IN_MEMORY_MAX) return use(memorySource(file.read(0, size)), true);
    const read = (offset: number, length: number): Buffer => {
      const bytes = file.read(offset, length);
      if (bytes.length < length) throw new CyrvaultError("SOURCE_INVALID", "a message file became shorter");
      return bytes;
    };
    return use(windowedSource(read, size), false);
  } finally {
    file.close();
  }
}

function sha1Of(source: ByteSource): Buffer {
  const hash = createHash("sha1");
  for (let offset = 0; offset < source.size; ) {
    const wanted = Math.min(WINDOW_BYTES, source.size - offset);
    const view = source.view(offset, wanted);
    const bytes = view.subarray(0, Math.min(view.length, source.size - offset));
    hash.update(bytes);
    offset += bytes.length;
  }
  return hash.digest();
}
