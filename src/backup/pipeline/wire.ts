/**
 * How a batch's files, outcomes and ids cross between threads: a few flat buffers instead of some objects for each
 * message, which cost 25 µs a message to clone and leave both threads garbage.
 */
import { assert } from "../../base/errors.ts";
import type { FileStat } from "../../base/file-stat.ts";
import { asObjectId, OBJECT_ID_BYTES, type ObjectId } from "../../store/object.ts";
import type { MessageFile, MessageOutcome } from "./messages.ts";

const GUID_BYTES = 20;

export interface FilesOnWire {
  readonly paths: readonly MessageFile["path"][];
  /** 20 bytes for each file. */
  readonly guids: Uint8Array;
  /** 1: the file has a GUID. */
  readonly hasGuid: Uint8Array;
}

export function encodeFiles(files: readonly MessageFile[]): FilesOnWire {
  const guids = new Uint8Array(files.length * GUID_BYTES);
  const hasGuid = new Uint8Array(files.length);
  files.forEach(({ guid }, i) => {
    if (guid === undefined) return;
    assert(guid.length === GUID_BYTES, "a GUID is a SHA-1");
    hasGuid[i] = 1;
    guids.set(guid, i * GUID_BYTES);
  });
  return { paths: files.map(({ path }) => path), guids, hasGuid };
}

export function decodeFiles({ paths, guids, hasGuid }: FilesOnWire): MessageFile[] {
  return paths.map((path, i) => ({
    path,
    guid: hasGuid[i] === 1 ? guids.subarray(i * GUID_BYTES, (i + 1) * GUID_BYTES) : undefined,
  }));
}

/** `guidMatches`: false, true, undefined. */
const READ = [1, 2, 3] as const;
const ABSENT = 4;
const CHANGED = 5;
const FAILED = 6;
/** size, inode, mode, uid, gid, links */
const NUMBERS = 6;
/** mtime, ctime */
const TIMES = 2;

export interface OutcomesOnWire {
  readonly states: Uint8Array;
  readonly ids: Uint8Array;
  readonly numbers: Float64Array;
  readonly times: BigInt64Array;
  /** Of those that failed, in order. */
  readonly messages: readonly string[];
}

export function encodeOutcomes(outcomes: readonly MessageOutcome[]): OutcomesOnWire {
  const states = new Uint8Array(outcomes.length);
  const ids = new Uint8Array(outcomes.length * OBJECT_ID_BYTES);
  const numbers = new Float64Array(outcomes.length * NUMBERS);
  const times = new BigInt64Array(outcomes.length * TIMES);
  const messages: string[] = [];
  outcomes.forEach((outcome, i) => {
    if (outcome.state === "absent") states[i] = ABSENT;
    else if (outcome.state === "changed") states[i] = CHANGED;
    else if (outcome.state === "failed") {
      states[i] = FAILED;
      messages.push(outcome.message);
    } else {
      const { guidMatches, id, stat } = outcome;
      states[i] = guidMatches === undefined ? READ[2] : guidMatches ? READ[1] : READ[0];
      ids.set(id, i * OBJECT_ID_BYTES);
      const at = i * NUMBERS;
      numbers[at] = stat.size;
      numbers[at + 1] = stat.inode;
      numbers[at + 2] = stat.mode;
      numbers[at + 3] = stat.uid;
      numbers[at + 4] = stat.gid;
      numbers[at + 5] = stat.links;
      times[i * TIMES] = stat.mtimeNs;
      times[i * TIMES + 1] = stat.ctimeNs;
    }
  });
  return { states, ids, numbers, times, messages };
}

export function decodeOutcomes(wire: OutcomesOnWire): MessageOutcome[] {
  const { states, ids, messages } = wire;
  let failed = 0;
  return Array.from(states, (state, i): MessageOutcome => {
    if (state === ABSENT) return { state: "absent" };
    if (state === CHANGED) return { state: "changed" };
    if (state === FAILED) return { state: "failed", message: messages[failed++] as string };
    const guidMatches = state === READ[2] ? undefined : state === READ[1];
    return { state: "read", id: idAt(ids, i), stat: statAt(wire, i), guidMatches };
  });
}

export function encodeIds(list: readonly ObjectId[]): Uint8Array {
  const ids = new Uint8Array(list.length * OBJECT_ID_BYTES);
  list.forEach((id, i) => {
    ids.set(id, i * OBJECT_ID_BYTES);
  });
  return ids;
}

export function decodeIds(ids: Uint8Array): ObjectId[] {
  return Array.from({ length: ids.length / OBJECT_ID_BYTES }, (_, i) => idAt(ids, i));
}

function idAt(ids: Uint8Array, position: number): ObjectId {
  return asObjectId(ids.subarray(position * OBJECT_ID_BYTES, (position + 1) * OBJECT_ID_BYTES));
}

function statAt({ numbers, times }: OutcomesOnWire, position: number): FileStat {
  const at = position * NUMBERS;
  return {
    size: numbers[at] as number,
    inode: numbers[at + 1] as number,
    mode: numbers[at + 2] as number,
    uid: numbers[at + 3] as number,
    gid: numbers[at + 4] as number,
    links: numbers[at + 5] as number,
    mtimeNs: times[position * TIMES] as bigint,
    ctimeNs: times[position * TIMES + 1] as bigint,
  };
}
