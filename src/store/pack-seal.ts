/** The seals of one pack: its header with the pack key, its blocks, its directory. Format: docs/formats/pack.md. */
import { ByteWriter } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import { giveBack } from "../base/give-back.ts";
import { CODEC, type Compression, compress, decompress } from "./codec.ts";
import {
  asPackId,
  type BlockPlace,
  PACK_KIND_BYTES,
  type PackId,
  type PackKind,
  packName,
  parsePackKind,
} from "./pack-types.ts";
import { openBytes, SEAL_BYTES, type SealKey, sealBytes } from "./seal.ts";
import type { SealContext } from "./seal-context.ts";
import {
  decodeSealedHeader,
  encodeSealedHeader,
  PACK_MAGIC,
  requireOpen,
  type SealedHeader,
  type SealedHeaderOptions,
} from "./seal-header.ts";
import { type FileSeal, Sealer } from "./sealer.ts";

const ROLE_BLOCK = 1;
const DIRECTORY_PURPOSE = "directory";

export class PackSeal {
  readonly packId: PackId;
  readonly packKind: PackKind;
  /** As it stands at the beginning of the pack. */
  readonly header: Buffer;
  readonly epoch: number;
  readonly writerId: Uint8Array;
  readonly #key: SealKey | "shut";
  /** `isUnvouched` of its header. */
  readonly isUnvouched: boolean;
  /** `isRemembered` of its header. */
  readonly isRemembered: boolean;
  readonly #directorySeal: FileSeal;

  private constructor(context: SealContext, packKind: PackKind, header: SealedHeader) {
    this.packId = asPackId(header.id);
    this.packKind = packKind;
    this.header = header.header;
    this.epoch = header.epoch;
    this.writerId = header.writerId;
    this.#key = header.key;
    this.isUnvouched = header.isUnvouched;
    this.isRemembered = header.isRemembered;
    this.#directorySeal = new Sealer(context).fileSeal(DIRECTORY_PURPOSE, header.id);
  }

  /** A new pack: new id, new key. */
  static create(
    context: SealContext,
    packKind: PackKind,
    options: Pick<SealedHeaderOptions, "random" | "isRemembered"> = {},
  ): PackSeal {
    const kindByte = PACK_KIND_BYTES[packKind];
    return new PackSeal(
      context,
      packKind,
      encodeSealedHeader(context, PACK_MAGIC, kindByte, undefined, options),
    );
  }

  /**
   * @param start - the pack's first bytes: HEADER_BYTES_MAX of them, or all.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED`, also when it is another pack's header.
   */
  static open(context: SealContext, packId: PackId, start: Uint8Array): PackSeal {
    const name = packName(packId);
    const header = decodeSealedHeader(context, PACK_MAGIC, start, name);
    if (!Buffer.from(packId).equals(header.id))
      throw new CyrvaultError("REPOSITORY_DAMAGED", `${name}: it holds another pack`);
    return new PackSeal(context, parsePackKind(header.kind), header);
  }

  /** Compresses and seals. @param offset - of the block, from the start of the pack. */
  sealBlock(number: number, offset: number, raw: Uint8Array, compression: Compression | "none"): SealedBlock {
    const { codec, bytes } = compress(raw, compression);
    const key = requireOpen(this.#key, packName(this.packId));
    const stored = sealBytes(key, number, this.#blockPlace(number, offset), bytes);
    if (codec !== CODEC.none) giveBack(bytes);
    return { stored, place: { offset, storedBytes: stored.length, rawBytes: raw.length, codec } };
  }

  /**
   * Opens and decompresses.
   * @returns a view into `stored` where that is in clear and not compressed, otherwise a buffer of its own.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED`.
   */
  openBlock(number: number, place: BlockPlace, stored: Uint8Array): Buffer {
    const what = `${packName(this.packId)}: block ${number}`;
    if (stored.length !== place.storedBytes || stored.length < SEAL_BYTES)
      throw new CyrvaultError("REPOSITORY_DAMAGED", `${what}: wrong length`, {
        context: { expected: place.storedBytes, actual: stored.length },
      });
    const bytes = openBytes(
      requireOpen(this.#key, what),
      number,
      this.#blockPlace(number, place.offset),
      stored,
      what,
    );
    const raw = decompress(place.codec, bytes, place.rawBytes);
    if (this.#key !== undefined && place.codec !== CODEC.none) giveBack(bytes);
    return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  }

  sealDirectory(offset: number, plain: Uint8Array): Buffer {
    return this.#directorySeal.seal(0, plain, this.#directoryPlace(offset));
  }

  openDirectory(offset: number, sealed: Uint8Array): Buffer {
    return this.#directorySeal.open(0, sealed, this.#directoryPlace(offset));
  }

  #blockPlace(number: number, offset: number): Buffer {
    return new ByteWriter(64)
      .raw(this.packId)
      .u32(number)
      .u8(ROLE_BLOCK)
      .u8(PACK_KIND_BYTES[this.packKind])
      .u64(BigInt(offset))
      .toBytes();
  }

  #directoryPlace(offset: number): Buffer {
    return new ByteWriter(256).raw(this.header).u64(BigInt(offset)).toBytes();
  }
}

export interface SealedBlock {
  /** A buffer of its own, as long as its contents: it can be transferred to another thread. */
  readonly stored: Buffer;
  readonly place: BlockPlace;
}
