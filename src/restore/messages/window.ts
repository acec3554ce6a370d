/**
 * Messages that are restored together: in the order in which they are stored, not in that of their mailboxes, so that
 * each block is opened once. Columns: 100 bytes a message.
 */
import { type ByteString, joinPath } from "../../base/byte-string.ts";
import type { MailboxDirectory, MessageEntry } from "../../manifest/model.ts";
import { OBJECT_ID_BYTES, type ObjectId } from "../../store/object.ts";
import type { ObjectCopy, ObjectReader } from "../../store/object-reader.ts";
import type { Attributes } from "../attributes.ts";
import { BlockTable, type Phase } from "./block-table.ts";
import { type Extent, SPILL, type TaskCopy, type TaskMessage, type WriteTask } from "./task.ts";

/** Where messages of a mailbox come from and go to. */
export interface MessagePlace {
  /** As on the server. */
  readonly directory: MailboxDirectory;
  /** Real. */
  readonly path: ByteString;
  readonly filesystem: string;
}

export interface MessageJob {
  readonly place: MessagePlace;
  readonly uid: number;
  /** What is to be restored: the good one, where there is one. */
  readonly id: ObjectId;
  readonly attributes: Attributes;
  /** Of one that may have links. */
  readonly linked: MessageEntry | undefined;
}

export type Objects = Pick<ObjectReader, "locate" | "locateNear" | "usage">;

/** With the messages that its copies are for, and those that it writes. */
export interface RowsTask {
  readonly task: WriteTask;
  readonly copyRows: readonly number[];
  readonly rows: readonly number[];
}

/** A message that needs more than its own block. */
interface Parted {
  /** Head, tail, parts: where they lie. */
  readonly extents: readonly Extent[];
  /** For each of them, where in the spill file it waits until `block` is open; SPILL: it lies in that one. */
  readonly spillOffsets: readonly number[];
  /** The last of them, as they are stored. */
  readonly block: number;
}

interface Copy {
  readonly row: number;
  readonly position: number;
}

/** Tasks that need the same block, made when their turn comes. */
export interface TaskUnit {
  /** A number for the block's pack. */
  readonly pack: number;
  readonly tasks: () => readonly RowsTask[];
}

const WINDOW_MESSAGES = 131_072;
/** Of those that have parts elsewhere: what they take in memory is several times as much. */
const PARTED_MAX = 32_768;
/** Larger ones are put together in stretches, by themselves. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;
const TASK_ITEMS = 512;

/** Columns: place, uid, mode, owner, group, block, head's and tail's offset and length. */
const FIELDS = 10;
const BLOCK = 5;
const HEAD = 6;
const TAIL = 8;

export class MessageWindow {
  readonly #objects: Objects;
  readonly #spillMax: number;
  readonly #places: MessagePlace[] = [];
  readonly #placePositions = new Map<MessagePlace, number>();
  readonly #blocks = new BlockTable();
  readonly #parted = new Map<number, Parted>();
  readonly #linked = new Map<number, MessageEntry>();
  #fields = new Uint32Array(1024 * FIELDS);
  #times = new BigInt64Array(1024);
  #ids = new Uint8Array(1024 * OBJECT_ID_BYTES);
  #count = 0;
  #spillBytes = 0;

  /** @param spillMax - bytes that may be put aside in the target. */
  constructor(objects: Objects, spillMax: number) {
    this.#objects = objects;
    this.#spillMax = spillMax;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return (
      this.#count >= WINDOW_MESSAGES || this.#parted.size >= PARTED_MAX || this.#spillBytes >= this.#spillMax
    );
  }

  get needsSpill(): boolean {
    return this.#spillBytes > 0;
  }

  /** @returns false: it is to be restored by itself. */
  async add(job: MessageJob): Promise<boolean> {
    const copy =
      this.#objects.locateNear("message", job.id) ?? (await this.#objects.locate("message", job.id));
    if (copy === undefined) return false;
    const { pack, hex, ordinal } = copy;
    const { block, headOffset, headLength, tailOffset, tailLength } = pack.directory.place(ordinal);
    const extents: Extent[] = [];
    // Base64 in lines of 76 characters makes 1.37 bytes of one, shorter lines a little more.
    let size = headLength + tailLength;
    if (size > HELD_BYTES_MAX) return false;
    for (const reference of pack.directory.referencePlacesAt(ordinal)) {
      const part =
        typeof reference === "number" ? { pack, hex, ordinal: reference } : await this.#locatePart(reference);
      if (part === undefined) return false;
      const extent = this.#partExtent(part);
      size += 1.5 * extent.length;
      if (size > HELD_BYTES_MAX) return false;
      extents.push(extent);
    }
    this.#objects.usage.addNeeded(hex, pack.directory.objectCount, ordinal, headLength + tailLength);
    const row = this.#grow();
    const { mode, uid: owner, gid: group, mtimeNs } = job.attributes;
    this.#fields.set(
      [
        ...[this.#placePosition(job.place), job.uid, mode, owner, group, this.#blocks.take(hex, pack, block)],
        ...[headOffset, headLength, tailOffset, tailLength],
      ],
      row * FIELDS,
    );
    this.#times[row] = mtimeNs;
    this.#ids.set(job.id, row * OBJECT_ID_BYTES);
    if (job.linked !== undefined) this.#linked.set(row, job.linked);
    if (extents.length > 0) {
      const own = { block: this.#field(row, BLOCK), offset: headOffset, length: headLength };
      const rest = { ...own, offset: tailOffset, length: tailLength };
      this.#parted.set(row, this.#lay([own, rest, ...extents]));
    }
    return true;
  }

  job(row: number): MessageJob {
    const at = row * FIELDS;
    const [place = 0, uid = 0, mode = 0, owner = 0, group = 0] = this.#fields.subarray(at, at + 5);
    return {
      place: this.#places[place] as MessagePlace,
      uid,
      id: this.#ids.slice(row * OBJECT_ID_BYTES, (row + 1) * OBJECT_ID_BYTES) as ObjectId,
      attributes: { mode, uid: owner, gid: group, mtimeNs: this.#times[row] as bigint },
      linked: this.#linked.get(row),
    };
  }

  /**
   * Everything of a phase, in the order in which it is stored: each block once. A message is written when the last of its
   * blocks is open; what it needs of those before is put aside. The phases follow each other as in PHASES.
   * @param isWhole - whether all that was put aside for a message is there, when a unit makes its tasks; other messages
   *   are left to `leftUnits`.
   */
  units(phase: Phase, spillFd: number | undefined, isWhole: (row: number) => boolean): TaskUnit[] {
    const rows = new Map<number, number[]>();
    const copies = new Map<number, Copy[]>();
    for (let row = 0; row < this.#count; row++) {
      const parted = this.#parted.get(row);
      const last = parted?.block ?? this.#field(row, BLOCK);
      if (this.#blocks.phase(last) === phase) append(rows, last, row);
      parted?.spillOffsets.forEach((offset, position) => {
        const { block = 0 } = parted.extents[position] ?? {};
        if (offset !== SPILL && this.#blocks.phase(block) === phase) append(copies, block, { row, position });
      });
    }
    return this.#inOrder(new Set([...rows.keys(), ...copies.keys()])).map((block) => ({
      pack: this.#blocks.pack(block),
      tasks: () => [
        ...inStretches(copies.get(block) ?? []).map((some) => this.#task(some, [], spillFd)),
        ...inStretches(this.#byPlace(rows.get(block) ?? []).filter(isWhole)).map((some) =>
          this.#task([], some, spillFd),
        ),
      ],
    }));
  }

  /** Those that were not whole when their turn came. */
  leftUnits(spillFd: number | undefined, left: Iterable<number>): TaskUnit[] {
    const byBlock = new Map<number, number[]>();
    for (const row of left) append(byBlock, this.#parted.get(row)?.block ?? 0, row);
    return this.#inOrder(byBlock.keys()).map((block) => ({
      pack: this.#blocks.pack(block),
      tasks: () => inStretches(byBlock.get(block) ?? []).map((some) => this.#task([], some, spillFd)),
    }));
  }

  /** How many copies a message needs before it can be written. */
  copiesOf(row: number): number {
    return this.#parted.get(row)?.spillOffsets.filter((offset) => offset !== SPILL).length ?? 0;
  }

  #lay(extents: readonly Extent[]): Parted {
    let block = extents[0]?.block ?? 0;
    for (const extent of extents)
      if (extent.length > 0 && this.#blocks.compare(extent.block, block) > 0) block = extent.block;
    const spillOffsets = extents.map((extent) => {
      if (extent.block === block || extent.length === 0) return SPILL;
      const offset = this.#spillBytes;
      this.#spillBytes += extent.length;
      return offset;
    });
    return { extents, spillOffsets, block };
  }

  #placePosition(place: MessagePlace): number {
    const known = this.#placePositions.get(place);
    if (known !== undefined) return known;
    const position = this.#places.push(place) - 1;
    this.#placePositions.set(place, position);
    return position;
  }

  async #locatePart(id: ObjectId): Promise<ObjectCopy | undefined> {
    return this.#objects.locateNear("data", id) ?? (await this.#objects.locate("data", id));
  }

  #partExtent({ pack, hex, ordinal }: ObjectCopy): Extent {
    const { block, headOffset, headLength } = pack.directory.place(ordinal);
    this.#objects.usage.addNeeded(hex, pack.directory.objectCount, ordinal, headLength);
    return { block: this.#blocks.take(hex, pack, block), offset: headOffset, length: headLength };
  }

  #task(copies: readonly Copy[], rows: readonly number[], spillFd: number | undefined): RowsTask {
    const positions = new Map<number, number>();
    const local = ({ block, offset, length }: Extent): Extent => {
      let position = positions.get(block);
      if (position === undefined) {
        position = positions.size;
        positions.set(block, position);
      }
      return { block: position, offset, length };
    };
    const ids = new Uint8Array(rows.length * OBJECT_ID_BYTES);
    const messages = rows.map((row, position): TaskMessage => {
      const { place, uid, id, attributes } = this.job(row);
      ids.set(id, position * OBJECT_ID_BYTES);
      const [head, tail, ...parts] = this.#extents(row).map((extent) =>
        extent.block === SPILL ? extent : local(extent),
      ) as [Extent, Extent, ...Extent[]];
      return { path: joinPath(place.path, `${uid}.` as ByteString), attributes, head, tail, parts };
    });
    const taskCopies = copies.map(({ row, position }): TaskCopy => {
      const { extents, spillOffsets } = this.#parted.get(row) as Parted;
      return { from: local(extents[position] as Extent), spillOffset: spillOffsets[position] as number };
    });
    const blocks = [...positions.keys()].map((position) => this.#blocks.at(position));
    const task = { blocks, copies: taskCopies, messages, ids, spillFd };
    return { task, copyRows: copies.map(({ row }) => row), rows };
  }

  /** Head, tail, parts: as they are when the message is written. */
  #extents(row: number): readonly Extent[] {
    const parted = this.#parted.get(row);
    if (parted !== undefined)
      return parted.extents.map((extent, position) => {
        const spillOffset = parted.spillOffsets[position] as number;
        return spillOffset === SPILL ? extent : { block: SPILL, offset: spillOffset, length: extent.length };
      });
    const block = this.#field(row, BLOCK);
    return [HEAD, TAIL].map((at) => ({
      block,
      offset: this.#field(row, at),
      length: this.#field(row, at + 1),
    }));
  }

  #byPlace(rows: readonly number[]): readonly number[] {
    return [...rows].sort((a, b) => this.#field(a, HEAD) - this.#field(b, HEAD));
  }

  #inOrder(blocks: Iterable<number>): number[] {
    return [...blocks].sort((a, b) => this.#blocks.compare(a, b));
  }

  #field(row: number, field: number): number {
    return this.#fields[row * FIELDS + field] as number;
  }

  #grow(): number {
    const row = this.#count++;
    if (row < this.#times.length) return row;
    const fields = new Uint32Array(this.#fields.length * 2);
    fields.set(this.#fields);
    this.#fields = fields;
    const times = new BigInt64Array(this.#times.length * 2);
    times.set(this.#times);
    this.#times = times;
    const ids = new Uint8Array(this.#ids.length * 2);
    ids.set(this.#ids);
    this.#ids = ids;
    return row;
  }
}

function append<T>(lists: Map<number, T[]>, key: number, value: T): void {
  const known = lists.get(key);
  if (known === undefined) lists.set(key, [value]);
  else known.push(value);
}

function inStretches<T>(items: readonly T[]): (readonly T[])[] {
  const stretches: (readonly T[])[] = [];
  for (let at = 0; at < items.length; at += TASK_ITEMS) stretches.push(items.slice(at, at + TASK_ITEMS));
  return stretches;
}
