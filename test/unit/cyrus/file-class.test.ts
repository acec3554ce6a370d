import { describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import {
  classifyByOption,
  classifyFile,
  type FilePlace,
  fileClassRules,
} from "../../../src/cyrus/file-class.ts";
import { unpackStore } from "./database-fixtures.ts";

describe("classifyFile()", () => {
  test.each<[FilePlace, string, string]>([
    ["config", "mailboxes.db", "critical"],
    ["config", "annotations.db", "critical"],
    ["config", "quota/f/user.fred", "critical"],
    ["config", "domain/e/example.com/quota/root", "critical"],
    ["config", "user_deny.db", "critical"],
    ["config", "user", "critical"],
    ["config", "user/f/fred.smith.sub", "critical"],
    ["config", "user/f/fred.seen", "critical"],
    ["config", "user/f/fred.counters", "critical"],
    ["config", "user/f/fred.conversations", "derivable"],
    ["config", "user/f/fred.dav", "derivable"],
    ["config", "user/f/fred.dav-journal", "derivable"],
    ["config", "user/f/fred.xapianactive", "expensive"],
    ["config", "domain/e/example.com/user/b/bob.conversations", "derivable"],
    ["config", "user/uuid/g/6/g6byen/sub.db", "critical"],
    ["config", "user/uuid/g/6/g6byen/conversations.db", "derivable"],
    ["config", "user/uuid/g/6/g6byen/dav.db", "derivable"],
    ["config", "user/uuid/g/6/g6byen/dav.db-journal", "derivable"],
    ["config", "user/uuid/g/6/g6byen/something.new", "critical"],
    ["config", "deliver.db", "disposable"],
    ["config", "tls_sessions.db", "disposable"],
    ["config", "statuscache.db", "disposable"],
    ["config", "ptscache.db", "disposable"],
    ["config", "ptclient/ptsock", "disposable"],
    ["config", "lock", "disposable"],
    ["config", "lock/q/x.lock", "disposable"],
    ["config", "locksmith.txt", "critical"],
    ["config", "proc/123", "disposable"],
    ["config", "socket/lmtp", "disposable"],
    ["config", "sync/log", "disposable"],
    ["config", "log/fred/123", "disposable"],
    ["config", "stats/x", "disposable"],
    ["config", "metrics", "disposable"],
    ["config", "msg", "critical"],
    ["config", "msg/shutdown", "disposable"],
    ["config", "msg/motd", "critical"],
    ["config", "db", "critical"],
    ["config", "db/skipstamp", "disposable"],
    ["config", "db/skipcleanshutdown", "disposable"],
    ["config", "db/__db.001", "disposable"],
    ["config", "db/log.0000000001", "critical"],
    ["config", "db.backup1/mailboxes.db", "derivable"],
    ["config", "zoneinfo.db", "disposable"],
    ["config", "caldav_alarm.sqlite3", "derivable"],
    ["config", "mailboxes.db.NEW", "disposable"],
    ["config", "rpm/db.cfg", "critical"],
    ["partition", "stage.", "disposable"],
    ["partition", "stage./123-456", "disposable"],
    ["partition", "sync./9", "disposable"],
    ["partition", "user/fred", "critical"],
    ["partition", "lost", "critical"],
    ["mailbox", "1.", "critical"],
    ["mailbox", "01.", "critical"],
    ["mailbox", "cyrus.header", "critical"],
    ["mailbox", "cyrus.index", "critical"],
    ["mailbox", "cyrus.expunge", "critical"],
    ["mailbox", "cyrus.cache", "derivable"],
    ["mailbox", "cyrus.squat", "disposable"],
    ["mailbox", "cyrus.squat.tmp", "disposable"],
    ["mailbox", "cyrus.indexed.db", "expensive"],
    ["mailbox", "cyrus.index.NEW", "disposable"],
    ["mailbox", "cyrus.lock", "disposable"],
    ["mailbox", "note.txt", "critical"],
    ["sieve", "f/fred/main.script", "critical"],
    ["sieve", "f/fred/main.bc", "derivable"],
    ["sieve", "f/fred/defaultbc", "critical"],
    ["search", "f/user/fred/xapian/postlist.glass", "expensive"],
    ["other", "imapd.conf", "critical"],
  ])("in %s: %s is %s", (place, path, fileClass) => {
    expect(classifyFile(place, fromText(path)).fileClass).toBe(fileClass);
  });

  test("says of what would do harm that it must not come back", () => {
    for (const path of ["msg/shutdown", "db/skipcleanshutdown", "db/__db.001", "sync/log", "lock/x"])
      expect(classifyFile("config", fromText(path)).neverRestore).toBe(true);
    expect(classifyFile("config", fromText("msg/motd")).neverRestore).toBe(false);
  });

  test("what no rule knows is kept, odd bytes and all", () => {
    const verdict = classifyFile("config", "caf\xe9\n.NEWS" as ByteString);
    expect(verdict).toMatchObject({ fileClass: "critical", reason: "not known: kept" });
  });

  test("every rule has a reason and a source", () => {
    expect(fileClassRules().length).toBeGreaterThan(30);
    for (const { reason, source } of fileClassRules()) {
      expect(reason).not.toBe("");
      expect(source).not.toBe("");
    }
  });

  test("knows every file of a real configdirectory", () => {
    for (const path of unpackStore().keys()) {
      if (!path.startsWith("conf/")) continue;
      const verdict = classifyFile("config", fromText(path.slice(5)));
      const isKnown = verdict.source !== "" || path === "conf/shared.counters";
      expect([path, isKnown]).toEqual([path, true]);
    }
  });
});

describe("classifyByOption()", () => {
  test("a database that lies elsewhere is what it would be in its usual place", () => {
    expect(classifyByOption("duplicate_db_path").fileClass).toBe("disposable");
    expect(classifyByOption("mboxlist_db_path").fileClass).toBe("critical");
    expect(classifyByOption("proc_path").fileClass).toBe("disposable");
    expect(classifyByOption("some_db_path").fileClass).toBe("critical");
  });
});
