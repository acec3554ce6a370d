import { describe, expect, test } from "vitest";
import { fromText } from "../../../../src/base/byte-string.ts";
import { parseLockTable } from "../../../../src/source/live/lock-table.ts";
import { type ReadinessInput, requireLiveReadiness } from "../../../../src/source/live/readiness.ts";

const TABLE = `1: POSIX  ADVISORY  WRITE 500 fe:00:11 0 EOF
1: -> POSIX  ADVISORY  WRITE 501 fe:00:11 0 EOF
2: OFDLCK ADVISORY  READ -1 fe:00:12 0 EOF
3: FLOCK  ADVISORY  WRITE 77 fe:00:13 0 EOF
something else
`;

test("the lock table names kind, process and inode of what is held", () => {
  expect(parseLockTable(TABLE)).toEqual([
    { kind: "POSIX", pid: 500, inode: 11n },
    { kind: "other", pid: -1, inode: 12n },
    { kind: "FLOCK", pid: 77, inode: 13n },
  ]);
});

describe("a live backup", () => {
  const args = (text: string) => text.split(" ").map(fromText);
  const input: ReadinessInput = {
    facts: {
      uid: 0,
      processes: [
        { pid: 500, parent: 1, uid: 0, args: args("/usr/lib/cyrus/bin/master -C /etc/imapd.conf") },
        { pid: 501, parent: 500, uid: 104, args: args("imapd -C /etc/imapd.conf") },
        { pid: 77, parent: 1, uid: 33, args: args("something") },
      ],
      openFiles: (pid) => (pid === 501 ? [fromText("/var/lib/cyrus/mailboxes.db")] : []),
      stat: (path) =>
        path === "/var/lib/cyrus/mailboxes.db"
          ? { type: "file", device: 1n, inode: 20n, uid: 104 }
          : undefined,
    },
    capabilities: { ofdLocks: true, reason: undefined },
    locks: parseLockTable(TABLE),
    owner: { uid: 104, gid: 8 },
    places: [fromText("/var/lib/cyrus")],
  };
  const refused = (change: Partial<ReadinessInput>) => () => requireLiveReadiness({ ...input, ...change });
  const locked = (line: string) => ({ locks: parseLockTable(`1: ${line}\n`) });

  test("is possible for root and for the owner", () => {
    expect(refused({})).not.toThrow();
    expect(refused({ facts: { ...input.facts, uid: 104 } })).not.toThrow();
    expect(refused({ locks: undefined })).not.toThrow();
  });

  test.each([
    ["without locks of our own", { capabilities: { ofdLocks: false, reason: "no koffi" } }, "no koffi"],
    ["of a server of root's", { owner: { uid: 0, gid: 0 } }, "belongs to root"],
    ["by somebody else", { facts: { ...input.facts, uid: 33 } }, "you are 33"],
    ["where master locks its pid file by flock", locked("FLOCK ADVISORY WRITE 500 fe:00:9 0 EOF"), "flock"],
    ["where imapd locks the list by flock", locked("FLOCK ADVISORY WRITE 501 fe:00:20 0 EOF"), "flock"],
  ])("is refused %s", (_, change, why) => {
    expect(refused(change)).toThrow(expect.objectContaining({ code: "USAGE" }));
    expect(refused(change)).toThrow(why);
  });

  test("is possible where a process of Cyrus's user locks another file by flock", () => {
    expect(refused(locked("FLOCK ADVISORY WRITE 501 fe:00:99 0 EOF"))).not.toThrow();
  });
});
