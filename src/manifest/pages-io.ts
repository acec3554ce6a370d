/** All that the manifest needs of the repository: somewhere to put objects, somewhere to get them from. */
import type { ObjectId } from "../store/object.ts";

/** Pages are `manifest` objects; contents of small files, and lists of their ids, are `meta` objects. */
export type PageKind = "manifest" | "meta";

/** Which objects share blocks, apart from what is read seldom: what every run reads; what it reads of a changed mailbox. */
export type PageLane = "page" | "mailbox";

export interface PageSink {
  /**
   * Stores an object unless it is there already. `bytes` is handed over: the caller doesn't touch it again.
   * @param lane - none: among what is read at a restore alone.
   */
  put(kind: PageKind, bytes: Uint8Array, lane?: PageLane): Promise<ObjectId>;
}

export interface PageSource {
  /**
   * The plaintext, verified against its id.
   * @throws {CyrvaultError} `OBJECT_MISSING`, `REPOSITORY_DAMAGED`.
   */
  get(kind: PageKind, id: ObjectId): Promise<Uint8Array>;
}
