/** In which lane an object goes that is copied from one pack into another: the one that the backup chose for it. */
import type { StoredObject } from "../store/object.ts";
import type { BlockLane } from "../store/pack-types.ts";
import { laneOfPart } from "../store/part-lane.ts";
import { INNER, PAGE_KINDS } from "./page-codec.ts";

type Bytes = Pick<StoredObject, "kind" | "head">;

/**
 * @param besidePages - the object shared its block with pages of messages: a `meta` object there belongs to a `cyrus.index`,
 *   which its bytes do not say.
 */
export function laneOfObject({ kind, head }: Bytes, besidePages = false): BlockLane {
  switch (kind) {
    case "data":
      return laneOfPart(head);
    case "manifest":
      return isMessagePage({ kind, head }) ? "mailbox" : "page";
    case "meta":
      return besidePages ? "mailbox" : "text";
    case "message":
      return "text";
  }
}

export function isMessagePage({ kind, head }: Bytes): boolean {
  return kind === "manifest" && ((head[0] ?? 0) & ~INNER) === PAGE_KINDS.messages;
}
