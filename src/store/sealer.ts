/**
 * Seals and opens what is not a block of a pack (for these: pack-seal.ts): pack directories, segments, manifest
 * roots, records of runs, and the MAC of cyrvault.json. Formats: docs/formats/keys.md.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { ByteWriter } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import { deriveKey, openBytes, sealBytes } from "./seal.ts";
import type { SealContext } from "./seal-context.ts";
import {
  decodeSealedHeader,
  encodeSealedHeader,
  HEADER_BYTES_MAX,
  type Readers,
  requireOpen,
  SEALED_FILE_MAGIC,
} from "./seal-header.ts";

const FILE_ID_BYTES = 32;
/** Who may write but not read has to know which runs there are and what deletion has done. */
const FOR_WRITERS: ReadonlySet<string> = new Set(["run", "gc"]);
/** What a run leaves behind. Everything else that is sealed is by those who may read. */
const BY_WRITERS: ReadonlySet<string> = new Set(["backup", "checkpoint"]);

/** The numbered parts of one file, sealed under a key of the file's own. */
export interface FileSeal {
  /** @param number - of the part; each number at most once for one file id. */
  seal(number: number, plain: Uint8Array, associated?: Uint8Array): Buffer;
  open(number: number, sealed: Uint8Array, associated?: Uint8Array): Buffer;
}

export class Sealer {
  readonly context: SealContext;

  constructor(context: SealContext) {
    this.context = context;
  }

  get encrypted(): boolean {
    return this.context.encrypted;
  }

  /** Otherwise it may only write. */
  get mayRead(): boolean {
    return !(this.context.encrypted && this.context.sealTo !== undefined);
  }

  /**
   * For files that every writer must be able to read: pack directories, segments. The key comes from the index
   * key, the purpose and the file's id.
   * @param purpose - a constant: `directory`, `segment`.
   * @param fileId - 32 random bytes, new for each attempt to write such a file: a second write under the same
   *   id would use nonces twice.
   */
  fileSeal(purpose: string, fileId: Uint8Array): FileSeal {
    if (fileId.length !== FILE_ID_BYTES) throw new RangeError(`a file id has 32 bytes, not ${fileId.length}`);
    const key = this.context.encrypted
      ? deriveKey(this.context.indexKey, "cyrvault file", purpose, fileId)
      : undefined;
    const place = (number: number, associated: Uint8Array | undefined) => {
      const writer = new ByteWriter(128).text(purpose).raw(fileId).u64(BigInt(number));
      return (associated === undefined ? writer : writer.raw(associated)).toBytes();
    };
    return {
      seal: (number, plain, associated) => sealBytes(key, number, place(number, associated), plain),
      open: (number, sealed, associated) =>
        openBytes(key, number, place(number, associated), sealed, `${purpose} part ${number}`),
    };
  }

  /**
   * A whole file that is sealed at once under a key of its own. That is wrapped under the content key (manifest roots,
   * checkpoints), or under the index key for what every writer must read (`FOR_WRITERS`).
   * @param purpose - a constant: `backup`, `checkpoint`, `run`, `gc`.
   * @param name - the file's name in the repository: under another name it does not open.
   */
  sealNamed(
    purpose: string,
    name: string,
    plain: Uint8Array,
    random?: (count: number) => Uint8Array,
  ): Buffer {
    const { header, key } = encodeSealedHeader(this.context, SEALED_FILE_MAGIC, 0, undefined, {
      random,
      readers: readersOf(purpose),
      isRemembered: BY_WRITERS.has(purpose),
    });
    const opened = requireOpen(key, name);
    const place = namedPlace(header, purpose, name);
    const sealed = sealBytes(opened, 0, place, plain);
    if (!openBytes(opened, 0, place, sealed, name).equals(plain))
      throw new CyrvaultError("REPOSITORY_DAMAGED", `${name}: what was sealed does not open to the same`, {
        hint: "nothing of it has been kept; test this machine's memory",
      });
    return Buffer.concat([header, sealed]);
  }

  /**
   * @param by - `readers`: what somebody sealed who may only write is damage.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED`, also when it was sealed for another purpose or name. `KEY_WRITE_ONLY`.
   */
  openNamed(purpose: string, name: string, bytes: Uint8Array, by: "anybody" | "readers" = "anybody"): Buffer {
    const { header, key } = decodeSealedHeader(
      this.context,
      SEALED_FILE_MAGIC,
      bytes.subarray(0, HEADER_BYTES_MAX),
      name,
      by === "readers" ? "vouched" : readersOf(purpose),
    );
    return openBytes(
      requireOpen(key, name),
      0,
      namedPlace(header, purpose, name),
      bytes.subarray(header.length),
      name,
    );
  }

  /** 32 bytes: under the index key, or without a key a plain SHA-256. For what must stay readable without a key. */
  mac(purpose: string, bytes: Uint8Array): Buffer {
    const hash = this.context.encrypted ? createHmac("sha256", this.context.indexKey) : createHash("sha256");
    return hash.update(`cyrvault mac\0${purpose}\0`).update(bytes).digest();
  }

  isMac(purpose: string, bytes: Uint8Array, mac: Uint8Array): boolean {
    return mac.length === 32 && timingSafeEqual(this.mac(purpose, bytes), mac);
  }
}

function readersOf(purpose: string): Readers {
  if (FOR_WRITERS.has(purpose)) return "writers";
  return BY_WRITERS.has(purpose) ? "content" : "vouched";
}

function namedPlace(header: Uint8Array, purpose: string, name: string): Buffer {
  return new ByteWriter(256).raw(header).text(purpose).text(name).toBytes();
}
