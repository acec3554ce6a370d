import { describe, expect, test } from "vitest";
import { type CapturedMessage, MessageCapture } from "../../../src/backup/capture-messages.ts";
import type { PlaceDirectory } from "../../../src/backup/mailbox-places.ts";
import type { MessageDecision } from "../../../src/backup/message-plan.ts";
import type { MessageFile, MessageOutcome } from "../../../src/backup/pipeline/messages.ts";
import type { NotReached } from "../../../src/backup/restrict-messages.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import type { FileStat, MessageEntry } from "../../../src/manifest/model.ts";
import { idKey, type ObjectId } from "../../../src/store/object.ts";
import { collect, testId } from "../manifest/support.ts";

const STAT: FileStat = {
  mode: 0o100600,
  uid: 8,
  gid: 9,
  size: 100,
  mtimeNs: 5n,
  ctimeNs: 6n,
  inode: 7,
  links: 1,
};

const DIRECTORIES: PlaceDirectory[] = ["/spool/a", "/archive/a"].map((path, i) => ({
  role: i === 0 ? "data" : "archive",
  path: fromText(path),
  realPath: fromText(`/snap${path}`),
  stat: STAT,
  listed: true,
}));

type Read = Extract<MessageDecision, { action: "read" }>;

const read = (uid: number, change: Partial<Read> = {}): Read => ({
  action: "read",
  uid,
  directory: 0,
  guid: new Uint8Array(20).fill(1),
  size: 100,
  indexed: true,
  before: undefined,
  duplicateIn: undefined,
  ...change,
});

const entry = (uid: number, change: Partial<MessageEntry> = {}): MessageEntry => ({
  uid,
  object: testId(`old ${uid}`),
  directory: 0,
  mode: 0o100600,
  uidOwner: 8,
  gidOwner: 9,
  mtimeNs: 5n,
  inode: 7,
  linked: false,
  ...change,
});

const reuse = (uid: number): MessageDecision => ({ action: "reuse", entry: entry(uid), size: 10 });

const wasRead = (change: Partial<Extract<MessageOutcome, { state: "read" }>> = {}): MessageOutcome => ({
  state: "read",
  id: testId("as read"),
  stat: STAT,
  guidMatches: true,
  ...change,
});

interface Captured {
  readonly messages: CapturedMessage[];
  readonly findings: string[];
  readonly batches: number[];
  readonly files: MessageFile[];
  readonly notReached: NotReached;
}

async function capture(
  decisions: readonly MessageDecision[],
  outcome: MessageOutcome | "late" | ((file: MessageFile) => Promise<MessageOutcome>) = wasRead(),
  good: readonly ObjectId[] = [],
): Promise<Captured> {
  const findings: string[] = [];
  const batches: number[] = [];
  const files: MessageFile[] = [];
  const notReached = { messages: 0, kept: 0 };
  const messages = new MessageCapture({
    pipeline: {
      process: async (batch) => {
        batches.push(batch.length);
        files.push(...batch);
        if (outcome === "late") return undefined;
        return typeof outcome === "function"
          ? await Promise.all(batch.map(outcome))
          : batch.map(() => outcome);
      },
    },
    directories: DIRECTORIES,
    notReached,
    goodCopy: async (id) => good.some((known) => idKey(known) === idKey(id)),
    find: (code, severity, path, message, uid) =>
      findings.push(
        `${severity} ${code} ${path} ${uid} ${/good copy[^;]*|copy of an earlier.*/.exec(message)?.[0] ?? ""}`.trim(),
      ),
  }).entries(
    (async function* () {
      yield* decisions;
    })(),
  );
  return { messages: await collect(messages), findings, batches, files, notReached };
}

const only = ({ messages }: Captured): MessageEntry | undefined => messages[0]?.entry;

describe("entries", () => {
  test("come in the order of the decisions, however long each batch takes", async () => {
    const decisions = Array.from({ length: 1500 }, (_, i) => (i % 3 === 0 ? reuse(i + 1) : read(i + 1)));
    const slowFirst = async ({ path }: MessageFile): Promise<MessageOutcome> => {
      const uid = Number(path.slice(path.lastIndexOf("/") + 1, -1));
      await new Promise((resolve) => setTimeout(resolve, uid < 400 ? 20 : 0));
      return wasRead({ id: testId(`m${uid}`) });
    };
    const { messages, batches } = await capture(decisions, slowFirst);
    expect(messages.map((message) => message.entry.uid)).toEqual(decisions.map((_, i) => i + 1));
    expect(messages[1]?.entry.object).toEqual(testId("m2"));
    expect(messages[1499]?.entry.object).toEqual(testId("m1500"));
    expect(Math.max(...batches)).toBeLessThanOrEqual(256);
    expect(batches.reduce((a, b) => a + b)).toBe(1000);
  });

  test("of large messages go in small batches", async () => {
    const { batches } = await capture(
      Array.from({ length: 10 }, (_, i) => read(i + 1, { size: 3 * 1024 * 1024 })),
    );
    expect(Math.max(...batches)).toBe(1);
  });

  test("of messages that need no reading ask nothing of the pipeline", async () => {
    const { messages, batches } = await capture([reuse(1), reuse(2)]);
    expect(messages).toEqual([1, 2].map((uid) => ({ entry: entry(uid), size: 10 })));
    expect(batches).toEqual([]);
  });

  test("have what lstat said, and no size where all is as the index says", async () => {
    const captured = await capture([read(5, { directory: 1 })], wasRead({ stat: { ...STAT, links: 2 } }));
    expect(captured.files).toEqual([{ path: "/snap/archive/a/5.", guid: new Uint8Array(20).fill(1) }]);
    expect(captured.findings).toEqual([]);
    expect(captured.messages).toEqual([
      {
        entry: {
          uid: 5,
          object: testId("as read"),
          directory: 1,
          mode: 0o100600,
          uidOwner: 8,
          gidOwner: 9,
          mtimeNs: 5n,
          inode: 7,
          linked: true,
        },
        size: 100,
      },
    ]);
  });

  test("stop at a failure of the pipeline, which is met once and not lost", async () => {
    const decisions = Array.from({ length: 2000 }, (_, i) => read(i + 1));
    let batch = 0;
    await expect(
      capture(decisions, async () => {
        if (++batch > 300) throw new Error("a worker failed");
        return wasRead();
      }),
    ).rejects.toThrow("a worker failed");
  });
});

describe("a message that is not what its GUID says", () => {
  const before = { entry: entry(5), size: 100 };
  const bad = wasRead({ guidMatches: false });

  test("is kept as read, marked by its size", async () => {
    const captured = await capture([read(5)], bad);
    expect(only(captured)).toMatchObject({ object: testId("as read"), size: 100 });
    expect(only(captured)?.good).toBeUndefined();
    expect(captured.findings).toEqual(["error message-guid-mismatch /spool/a/5. 5 good copy"]);
  });

  test("keeps the parent's copy beside, if that is the one that the GUID means", async () => {
    const captured = await capture([read(5, { before })], bad, [testId("old 5")]);
    expect(only(captured)).toMatchObject({ object: testId("as read"), good: testId("old 5"), size: 100 });
  });

  test("keeps the good copy that the parent kept beside", async () => {
    const earlier = {
      entry: entry(5, { good: testId("good"), object: testId("as read"), size: 100 }),
      size: 100,
    };
    const captured = await capture([read(5, { before: earlier })], bad, [testId("good")]);
    expect(only(captured)?.good).toEqual(testId("good"));
  });

  test("does not take the parent's copy where that is not it either", async () => {
    expect(only(await capture([read(5, { before })], bad, []))?.good).toBeUndefined();
  });
});

describe("other oddities", () => {
  test("another size than the index says is an error, and kept", async () => {
    const captured = await capture([read(5, { size: 99 })]);
    expect(only(captured)?.size).toBe(100);
    expect(captured.findings).toEqual(["error message-size-mismatch /spool/a/5. 5"]);
  });

  test("a file without a record is a note, kept, and looked at again", async () => {
    const captured = await capture(
      [read(5, { indexed: false, guid: undefined, size: undefined })],
      wasRead({ guidMatches: undefined }),
    );
    expect(only(captured)?.size).toBe(100);
    expect(captured.findings).toEqual(["note message-unlisted /spool/a/5. 5"]);
  });

  test("a second file of the same UID is a warning", async () => {
    const captured = await capture([read(5, { duplicateIn: 1 })]);
    expect(captured.findings).toEqual(["warning message-unlisted /spool/a/5. 5"]);
    expect(captured.messages.length).toBe(1);
  });
});

describe("a message that cannot be had", () => {
  const before = { entry: entry(5), size: 42 };
  const kept = { entry: entry(5, { size: 42 }), size: 42 };

  test.each<[string, MessageDecision, MessageOutcome, string]>([
    [
      "is missing",
      { action: "missing", uid: 5, expunged: false, before: undefined },
      wasRead(),
      "message-missing",
    ],
    ["vanished", read(5), { state: "absent" }, "message-missing"],
    ["cannot be read", read(5), { state: "failed", message: "EIO" }, "file-unreadable"],
    ["changes under our eyes", read(5), { state: "changed" }, "file-changed"],
  ])(
    "because it %s is an error; the parent's copy is kept where there is one",
    async (_, decision, outcome, code) => {
      const without = await capture([decision], outcome);
      expect(without.messages).toEqual([]);
      expect(without.findings).toEqual([`error ${code} /spool/a/5. 5`]);
      const withCopy = await capture([{ ...decision, before } as MessageDecision], outcome);
      expect(withCopy.messages).toEqual([kept]);
      expect(withCopy.findings).toEqual([`error ${code} /spool/a/5. 5 copy of an earlier backup is kept`]);
    },
  );

  test("whose turn comes too late is counted; the parent's copy stands in, and is looked at again", async () => {
    const captured = await capture(
      [read(4), reuse(5), read(6, { before: { entry: entry(6), size: 42 } })],
      "late",
    );
    expect(captured.messages.map(({ entry: { uid, size } }) => [uid, size])).toEqual([
      [5, undefined],
      [6, 42],
    ]);
    expect(captured.findings).toEqual([]);
    expect(captured.notReached).toEqual({ messages: 2, kept: 1 });
  });

  test("and that no index knows is a note only", async () => {
    const captured = await capture([read(5, { indexed: false })], { state: "absent" });
    expect(captured.messages).toEqual([]);
    expect(captured.findings).toEqual(["note file-vanished /spool/a/5. 5"]);
  });

  test("whose size nobody knows any more is marked all the same", async () => {
    const captured = await capture([
      { action: "missing", uid: 5, expunged: true, before: { entry: entry(5), size: undefined } },
    ]);
    expect(only(captured)?.size).toBe(0);
  });
});
