/**
 * What a repository of some messages would take under one choice of parameters: splits, finds repetitions, fills and
 * compresses blocks as the pipeline does, but writes nothing.
 */
import { memorySource } from "../../src/chunker/byte-source.ts";
import { FastCdc } from "../../src/chunker/fastcdc.ts";
import { walkMessage } from "../../src/chunker/mime-walk.ts";
import { PieceBuilder } from "../../src/chunker/piece-builder.ts";
import { looksCompressible } from "../../src/store/codec.ts";
import { idKey, type ObjectId } from "../../src/store/object.ts";
import { ObjectHasher } from "../../src/store/object-id.ts";
import { PackDirectoryWriter } from "../../src/store/pack-directory-writer.ts";
import { PACK_BYTES_TARGET } from "../../src/store/pack-types.ts";
import { looksLikeText } from "../../src/store/part-lane.ts";
import { SEAL_BYTES } from "../../src/store/seal.ts";
import { UNENCRYPTED } from "../../src/store/seal-context.ts";
import { PREFIX_BYTES } from "../../src/store/segment-format.ts";
import { Lane, type SealedObject } from "./lane.ts";
import { cpuSeconds, type Variant } from "./variant.ts";

/** Pack's position, ordinal, ten bits of the filter, the page's share of seal and fence. */
const SEGMENT_BYTES_AN_OBJECT = PREFIX_BYTES + 1 + 3 + 1.25 + 0.02;
/** Header, footer and seal of a pack, its mention in a segment. */
const PACK_FRAME_BYTES = 250;
/** An assumption: what the manifest of a server with ordinary mailboxes takes for each of its messages. */
const MANIFEST_BYTES_A_MESSAGE = 44;

export interface TrialResult {
  readonly name: string;
  readonly storedBytes: number;
  readonly textBytes: number;
  readonly partBytes: number;
  readonly denseBytes: number;
  /** Objects for each message file, repeated ones included. */
  readonly objectsAMessage: number;
  readonly bookkeepingAMessage: number;
  readonly splitSeconds: number;
  readonly laneSeconds: number;
  readonly packSeconds: number;
  readonly totalSeconds: number;
  readonly blocks: number;
  /** Of blocks before compression, for one message with its parts: the mean. */
  readonly openedBytes: number;
  /** The same as stored. */
  readonly fetchedBytes: number;
}

interface Placed {
  readonly lane: Lane;
  readonly block: number;
}

export class Trial {
  readonly variant: Variant;
  readonly #cuts: FastCdc;
  readonly #hasher = new ObjectHasher(UNENCRYPTED);
  readonly #lanes: { readonly text: Lane; readonly part: Lane; readonly dense: Lane };
  readonly #parts = new Map<string, Placed>();
  readonly #messages: Placed[][] = [];
  #directory = new PackDirectoryWriter();
  #packBytes = 0;
  #storedBytes = 0;
  #bookkeeping = 0;
  #objects = 0;
  #splitSeconds = 0;
  #laneSeconds = 0;

  constructor(variant: Variant) {
    this.variant = variant;
    this.#cuts = new FastCdc(variant.cuts);
    const { blockBytes, layout, textCodec, partCodec } = variant;
    const onBlock = (objects: readonly SealedObject[], raw: number, stored: number, codec: number) =>
      this.#blockEnded(objects, raw, stored, codec);
    this.#lanes = {
      text: new Lane(blockBytes, layout, textCodec, onBlock),
      part: new Lane(blockBytes, layout, partCodec, onBlock),
      dense: new Lane(blockBytes, layout, undefined, onBlock),
    };
  }

  add(messages: readonly Buffer[]): void {
    for (const message of messages) this.#addOne(message);
  }

  /** @param files - message files, repeated ones included. */
  finish(files: number): TrialResult {
    for (const lane of Object.values(this.#lanes)) lane.close();
    this.#endPack();
    const { text, part, dense } = this.#lanes;
    const packSeconds = text.seconds + part.seconds + dense.seconds;
    let opened = 0;
    let fetched = 0;
    for (const placed of this.#messages) {
      const blocks = new Set(placed.map(({ lane, block }) => lane.blocks[block]));
      for (const block of blocks) {
        opened += block?.rawBytes ?? 0;
        fetched += block?.storedBytes ?? 0;
      }
    }
    const bookkeeping = this.#bookkeeping + this.#objects * SEGMENT_BYTES_AN_OBJECT;
    return {
      name: this.variant.name,
      storedBytes: Math.round(this.#storedBytes + bookkeeping),
      textBytes: text.storedBytes,
      partBytes: part.storedBytes,
      denseBytes: dense.storedBytes,
      objectsAMessage: this.#objects / files,
      bookkeepingAMessage: bookkeeping / files + MANIFEST_BYTES_A_MESSAGE,
      splitSeconds: this.#splitSeconds,
      laneSeconds: this.#laneSeconds,
      packSeconds,
      totalSeconds: this.#splitSeconds + this.#laneSeconds + packSeconds,
      blocks: text.blocks.length + part.blocks.length + dense.blocks.length,
      openedBytes: opened / this.#messages.length,
      fetchedBytes: fetched / this.#messages.length,
    };
  }

  #addOne(message: Buffer): void {
    const began = cpuSeconds();
    const parts: { id: ObjectId; bytes: Buffer; isText: boolean }[] = [];
    const source = memorySource(message);
    let isText = false;
    const parameters = { ...this.variant, cuts: this.#cuts };
    const builder = new PieceBuilder(source, parameters, false, (bytes) =>
      parts.push({ id: this.#hasher.id("data", bytes), bytes: Buffer.from(bytes), isText }),
    );
    walkMessage(source, {
      header: (from, to) => builder.header(from, to),
      structure: (from, to) => builder.structure(from, to),
      body: (from, to, base64) => {
        isText = !base64;
        builder.body(from, to, base64);
      },
    });
    const { head, tail } = builder.finish();
    const id = this.#hasher.id("message", head);
    const split = cpuSeconds();
    this.#splitSeconds += split - began;
    const references = parts.map((part) => part.id);
    const fresh = parts.filter((part) => {
      const isNew = !this.#parts.has(idKey(part.id));
      if (isNew) this.#parts.set(idKey(part.id), { lane: this.#lanes.part, block: -1 });
      return isNew;
    });
    const began2 = cpuSeconds();
    const lanes = fresh.map((part) => this.#lanes[this.#laneOf(part)]);
    this.#laneSeconds += cpuSeconds() - began2;
    fresh.forEach((part, i) => {
      const lane = lanes[i] as Lane;
      const block = lane.add({ kind: "data", id: part.id, references: [] }, part.bytes, EMPTY);
      this.#parts.set(idKey(part.id), { lane, block });
    });
    const block = this.#lanes.text.add({ kind: "message", id, references }, head, tail);
    const placed = references.map((reference) => this.#parts.get(idKey(reference)) as Placed);
    this.#messages.push([{ lane: this.#lanes.text, block }, ...placed]);
    this.#objects += 1 + fresh.length;
  }

  #laneOf(part: { bytes: Buffer; isText: boolean }): "text" | "part" | "dense" {
    const { textParts, dense } = this.variant;
    if (
      textParts === "no base64"
        ? part.isText
        : textParts !== "none" && isShortText(part.bytes, textParts.bytesMax)
    )
      return "text";
    if (dense === undefined || part.bytes.length < dense.bytesMin) return "part";
    return looksCompressible(part.bytes, dense.sampleBytes) ? "part" : "dense";
  }

  #blockEnded(objects: readonly SealedObject[], rawBytes: number, stored: number, codec: number): void {
    for (const object of objects) this.#directory.addObject(object);
    const storedBytes = stored + SEAL_BYTES;
    this.#directory.addBlock({ codec, storedBytes, rawBytes });
    this.#packBytes += storedBytes;
    if (this.#packBytes >= PACK_BYTES_TARGET) this.#endPack();
  }

  #endPack(): void {
    this.#bookkeeping += this.#directory.encode(100).length + PACK_FRAME_BYTES;
    this.#storedBytes += this.#packBytes;
    this.#directory = new PackDirectoryWriter();
    this.#packBytes = 0;
  }
}

function isShortText(bytes: Buffer, bytesMax: number): boolean {
  return bytes.length <= bytesMax && looksLikeText(bytes);
}

const EMPTY = Buffer.alloc(0);
