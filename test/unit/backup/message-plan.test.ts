import { describe, expect, test } from "vitest";
import { Cursor } from "../../../src/backup/cursor.ts";
import {
  type IndexColumns,
  RECORD_ARCHIVED,
  RECORD_DAMAGED,
  RECORD_EXPUNGED,
  RECORD_HAS_GUID,
  RECORD_UNLINKED,
} from "../../../src/backup/index-columns.ts";
import {
  type MessageDecision,
  type MessagePlanInput,
  planMessages,
} from "../../../src/backup/message-plan.ts";
import type { ByteString } from "../../../src/base/byte-string.ts";
import type { FileStat, MessageEntry } from "../../../src/manifest/model.ts";
import { collect, testId } from "../manifest/support.ts";

interface Row {
  readonly uid: number;
  readonly guid?: number;
  readonly size?: number;
  readonly flags?: number;
}

function columns(...rows: Row[]): IndexColumns {
  const sorted = [...rows].sort((a, b) => a.uid - b.uid);
  const guids = new Uint8Array(sorted.length * 20);
  for (const [i, { uid, guid = uid }] of sorted.entries()) guids.fill(guid, i * 20, (i + 1) * 20);
  return {
    header: undefined as never,
    count: sorted.length,
    uids: Uint32Array.from(sorted, ({ uid }) => uid),
    sizes: Float64Array.from(sorted, ({ size = 100 }) => size),
    guids,
    flags: Uint8Array.from(sorted, ({ flags = 0, guid }) => flags | (guid === 0 ? 0 : RECORD_HAS_GUID)),
    damaged: 0,
    withoutGuid: 0,
    ordered: true,
    syncCrc: undefined,
    beyondBytes: 0,
    missingRecords: 0,
  };
}

const entry = (uid: number, change: Partial<MessageEntry> = {}): MessageEntry => ({
  uid,
  object: testId(`m${uid}`),
  directory: 0,
  mode: 0o100600,
  uidOwner: 8,
  gidOwner: 8,
  mtimeNs: 1n,
  inode: uid,
  linked: false,
  ...change,
});

/** What lies in another directory now. */
const TODAY: FileStat = {
  mode: 0o100600,
  uid: 7,
  gid: 8,
  size: 100,
  mtimeNs: 9n,
  ctimeNs: 9n,
  inode: 77,
  links: 2,
};
const TODAYS_ATTRIBUTES = { mode: 0o100600, uidOwner: 7, gidOwner: 8, mtimeNs: 9n, inode: 77, linked: true };

interface Given extends Partial<Omit<MessagePlanInput, "beforeEntries" | "directories">> {
  /** UIDs in the data directory; undefined: not listed. */
  readonly listed: readonly number[] | undefined;
  /** UIDs in the archive directory, if there is one. */
  readonly archive?: readonly number[] | undefined;
  readonly entries?: readonly MessageEntry[];
}

async function plan({ listed, archive, entries = [], ...rest }: Given): Promise<MessageDecision[]> {
  const uids = (list: readonly number[] | undefined) =>
    list === undefined ? undefined : Uint32Array.from(list);
  const directories: MessagePlanInput["directories"] = [
    { role: "data", before: 0, uids: uids(listed) },
    ...(archive === undefined ? [] : [{ role: "archive" as const, before: 1, uids: uids(archive) }]),
  ];
  const planned = await collect(
    planMessages({
      directories,
      columns: undefined,
      beforeColumns: rest.columns,
      beforeEntries: new Cursor(
        (async function* () {
          yield* entries;
        })(),
        ({ uid }) => uid.toString(16).padStart(8, "0") as ByteString,
      ),
      mayReuse: true,
      hasFile: () => false,
      statOf: () => TODAY,
      ...rest,
    }),
  );
  return planned.filter((decision) => decision.action !== "leave-out");
}

const brief = (decisions: readonly MessageDecision[]): string[] =>
  decisions.map((it) => `${it.action} ${it.action === "reuse" ? it.entry.uid : it.uid}`);

describe("a message of the parent is taken over", () => {
  test("when index and listing have it as before", async () => {
    const decisions = await plan({
      listed: [1, 2],
      columns: columns({ uid: 1 }, { uid: 2 }),
      entries: [entry(1), entry(2)],
    });
    expect(decisions).toEqual([
      { action: "reuse", entry: entry(1), size: 100 },
      { action: "reuse", entry: entry(2), size: 100 },
    ]);
  });

  test("when its directory was not listed because it had not changed", async () => {
    const index = columns({ uid: 1 }, { uid: 2 });
    expect(brief(await plan({ listed: undefined, columns: index, entries: [entry(1), entry(2)] }))).toEqual([
      "reuse 1",
      "reuse 2",
    ]);
  });

  test("into the directory in which it lies today", async () => {
    const [decision] = await plan({
      listed: [],
      archive: [1],
      columns: columns({ uid: 1, flags: RECORD_ARCHIVED }),
      entries: [entry(1)],
    });
    expect(decision).toEqual({
      action: "reuse",
      entry: entry(1, { directory: 1, ...TODAYS_ATTRIBUTES }),
      size: 100,
    });
  });

  test("though its record says expunged", async () => {
    const index = columns({ uid: 1, flags: RECORD_EXPUNGED });
    expect(brief(await plan({ listed: [1], columns: index, entries: [entry(1)] }))).toEqual(["reuse 1"]);
  });
});

describe("a message is read", () => {
  const index = columns({ uid: 1 });
  test.each<[string, Partial<Given>]>([
    ["that is new", { entries: [] }],
    ["when the parent may not be relied on (uidvalidity, uniqueid, scrub)", { mayReuse: false }],
    ["when the parent had no index that could be read", { beforeColumns: undefined }],
    ["when the parent's index did not have it", { beforeColumns: columns({ uid: 2 }) }],
    ["whose GUID is another", { beforeColumns: columns({ uid: 1, guid: 9 }) }],
    ["whose size is another", { beforeColumns: columns({ uid: 1, size: 99 }) }],
    ["that has no GUID to know it by", { columns: columns({ uid: 1, guid: 0 }) }],
    ["whose record is damaged", { columns: columns({ uid: 1, flags: RECORD_DAMAGED }) }],
    ["whose record was damaged", { beforeColumns: columns({ uid: 1, flags: RECORD_DAMAGED }) }],
    ["that was not plainly what the index said (a size of its own)", { entries: [entry(1, { size: 3 })] }],
    ["of which a good copy is kept beside", { entries: [entry(1, { good: testId("good") })] }],
    ["that lies in two directories", { archive: [1] }],
    ["that has no record", { columns: columns() }],
    ["when there is no index at all", { columns: undefined }],
  ])("%s", async (_, given) => {
    const decisions = await plan({
      listed: [1],
      columns: index,
      beforeColumns: index,
      entries: [entry(1)],
      ...given,
    });
    expect(brief(decisions)).toEqual(["read 1"]);
  });

  test("with what the index says of it, if its record is sound", async () => {
    const decisions = await plan({
      listed: [1, 2, 3],
      columns: columns({ uid: 1, guid: 7, size: 50 }, { uid: 2, flags: RECORD_DAMAGED }),
    });
    expect(decisions).toMatchObject([
      { uid: 1, guid: new Uint8Array(20).fill(7), size: 50, indexed: true },
      { uid: 2, guid: undefined, size: undefined, indexed: true },
      { uid: 3, guid: undefined, size: undefined, indexed: false },
    ]);
  });

  test("from the directory that the index means, of two", async () => {
    for (const [flags, directory, duplicateIn] of [
      [0, 0, 1],
      [RECORD_ARCHIVED, 1, 0],
    ] as const) {
      const decisions = await plan({ listed: [1], archive: [1], columns: columns({ uid: 1, flags }) });
      expect(decisions).toMatchObject([{ action: "read", directory, duplicateIn }]);
    }
  });

  test("where it lies, if only the other directory has it", async () => {
    const decisions = await plan({
      listed: [1],
      archive: [],
      columns: columns({ uid: 1, flags: RECORD_ARCHIVED }),
    });
    expect(decisions).toMatchObject([{ action: "read", directory: 0, duplicateIn: undefined }]);
  });

  test("that the parent could not read, from a directory that has not changed since", async () => {
    const asked: number[] = [];
    const decisions = await plan({
      listed: undefined,
      columns: columns({ uid: 1 }, { uid: 2 }, { uid: 3 }),
      entries: [entry(1)],
      hasFile: (_, uid) => {
        asked.push(uid);
        return uid === 2;
      },
    });
    expect(brief(decisions)).toEqual(["reuse 1", "read 2", "missing 3"]);
    expect(asked).toEqual([2, 3]);
  });
});

describe("a message is missing", () => {
  test("that has a record and no file, expunged or not", async () => {
    const decisions = await plan({
      listed: [],
      columns: columns({ uid: 1 }, { uid: 2, flags: RECORD_EXPUNGED }),
    });
    expect(decisions).toEqual([
      { action: "missing", uid: 1, expunged: false, before: undefined },
      { action: "missing", uid: 2, expunged: true, before: undefined },
    ]);
  });

  test("with what the parent has of it, and the size that it had then", async () => {
    const decisions = await plan({
      listed: [],
      columns: columns({ uid: 1, size: 5 }),
      beforeColumns: columns({ uid: 1, size: 42 }),
      entries: [entry(1)],
    });
    expect(decisions).toMatchObject([{ action: "missing", before: { entry: entry(1), size: 42 } }]);
  });

  test("and what is kept of it is never said to lie in a directory that is gone", async () => {
    const decisions = await plan({
      listed: [],
      columns: columns({ uid: 1 }),
      entries: [entry(1, { directory: 1 })],
    });
    expect(decisions).toMatchObject([{ action: "missing", before: { entry: { directory: 0 } } }]);
  });

  test("not when its record says that the file is gone for good", async () => {
    expect(
      await plan({ listed: [], columns: columns({ uid: 1, flags: RECORD_UNLINKED }), entries: [entry(1)] }),
    ).toEqual([]);
  });

  test("not when neither index nor listing has it any more", async () => {
    expect(await plan({ listed: [], columns: columns(), entries: [entry(1)] })).toEqual([]);
  });
});

test("decisions come by ascending UID whatever they are", async () => {
  const decisions = await plan({
    listed: [2, 3, 10],
    archive: [1, 7],
    columns: columns(...[1, 2, 4, 7, 9, 10].map((uid) => ({ uid }))),
    entries: [2, 5, 7, 11].map((uid) => entry(uid)),
  });
  expect(brief(decisions)).toEqual([
    "read 1",
    "reuse 2",
    "read 3",
    "missing 4",
    "reuse 7",
    "missing 9",
    "read 10",
  ]);
});

test("two records of one UID in a damaged index make one decision", async () => {
  const twice = columns({ uid: 1 }, { uid: 2 }, { uid: 2 }, { uid: 3 });
  expect(brief(await plan({ listed: [1, 2, 3], columns: twice }))).toEqual(["read 1", "read 2", "read 3"]);
});
