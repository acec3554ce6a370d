/**
 * What a file of the server is to a backup, by where it lies and what it is called.
 *
 * critical    cannot be made again: always kept. Whatever no rule knows is critical
 * derivable   Cyrus can make it again from the critical ones: kept unless the user says otherwise
 * expensive   the same, but large, and slow to make again (search indexes): kept on request
 * disposable  belongs to the running server or to a moment: left out
 *
 * Rules are tried in order, the first that fits decides. A rule that fits a directory fits everything below it.
 */
import type { ByteString } from "../base/byte-string.ts";

export type FileClass = "critical" | "derivable" | "expensive" | "disposable";

export interface FileVerdict {
  readonly fileClass: FileClass;
  /** Why, for the manifest and for people. */
  readonly reason: string;
  /** Where this is known from. Empty for what no rule knows. */
  readonly source: string;
  /** Must not be put back even where it was kept by some other way: it would do harm. */
  readonly neverRestore: boolean;
}

/**
 * `config` below configdirectory · `partition` below a root of messages, archive or metadata, outside of mailboxes · `mailbox` a
 * mailbox's own directory · `sieve` below sievedir · `search` below a search partition · `other` named by imapd.conf or by
 * the user
 */
export type FilePlace = "config" | "partition" | "mailbox" | "sieve" | "search" | "other";

type Rule = readonly [
  places: readonly FilePlace[],
  path: RegExp,
  fileClass: FileClass,
  reason: string,
  source: string,
  neverRestore?: true,
];

const C = ["config"] as const;
const P = ["partition"] as const;
const M = ["mailbox"] as const;
const S = ["sieve"] as const;
const EVERYWHERE = ["config", "partition", "mailbox", "sieve", "search"] as const;

/** A user's file in either layout: `user/f/fred.SUFFIX`, `user/uuid/x/y/<id>/SUFFIX.db`. */
function userFile(suffix: string): RegExp {
  return new RegExp(`^(?:(?:domain/[^/]+/[^/]+/)?user/[^/]+/[^/]+\\.|user/uuid/.+/)${suffix}(?:\\.db)?$`);
}

const RULES: readonly Rule[] = [
  [
    EVERYWHERE,
    /\.NEW$/,
    "disposable",
    "half of a rewrite that was not finished",
    "lib/cyrusdb_*.c, imap/mailbox.c: written, then renamed",
    true,
  ],
  [
    EVERYWHERE,
    /(^|\/)__db\.[^/]*$/,
    "disposable",
    "Berkeley DB's shared memory: of the running server only",
    "Berkeley DB environments",
    true,
  ],
  [
    EVERYWHERE,
    /(^|\/)db\/log\.\d+$/,
    "critical",
    "Berkeley DB's log: without it its databases may not open",
    "Berkeley DB environments; Cyrus up to 2.5",
  ],

  [
    C,
    /^(lock|proc|socket)(\/|$)/,
    "disposable",
    "of the running server only",
    "imap/mboxlist.c, imap/proc.c, imap/idlemsg.h; docs: backup",
    true,
  ],
  [C, /^log(\/|$)/, "disposable", "protocol telemetry, switched on for debugging", "imap/telemetry.c"],
  [C, /^sync(\/|$)/, "disposable", "rolling replication log: stale after a restore", "imap/sync_log.c", true],
  [
    C,
    /^(stats|metrics)(\/|$)/,
    "disposable",
    "counters of the running server",
    "imap/prometheus.h: FNAME_PROM_STATS_DIR",
    true,
  ],
  [
    C,
    /^ptclient(\/|$)/,
    "disposable",
    "socket of the authorization daemon",
    "lib/auth_pts.h: PTS_DBSOCKET",
    true,
  ],
  [
    C,
    /^msg\/shutdown$/,
    "disposable",
    "keeps everybody from logging in",
    "imap/imapd.c: shutdown_file",
    true,
  ],
  [C, /^msg\//, "critical", "the administrator's messages to users", "imap/imapd.c"],
  [
    C,
    /^db\/skipcleanshutdown$/,
    "disposable",
    "would make ctl_cyrusdb -r recover no skiplist database after a restore",
    "lib/cyrusdb_skiplist.c, 2.5 and newer",
    true,
  ],
  [
    C,
    /^db\/skipstamp$/,
    "disposable",
    "says when databases were last recovered, which is not so after a restore",
    "lib/cyrusdb_skiplist.c: myinit",
    true,
  ],
  [
    C,
    /^db\.backup[12](\/|$)/,
    "derivable",
    "a copy of the databases up to half an hour old: of use only if a live one is torn",
    "imap/ctl_cyrusdb.c: ctl_cyrusdb -c; observed on 3.6.1",
  ],
  [
    C,
    /^(deliver|tls_sessions|statuscache|ptscache|sync_cache|jmap_emailsearch)\.db(-journal)?$/,
    "disposable",
    "a cache that Cyrus makes anew",
    "imap/duplicate.h, tls.h, statuscache.h; docs: backup",
  ],
  [C, /^deliverdb(\/|$)/, "disposable", "the list of deliveries as 2.0 kept it", "imap/duplicate.c, 2.0"],
  [
    C,
    /^zoneinfo\.db$/,
    "disposable",
    "made from the time zone files by ctl_zoneinfo -r",
    "imap/zoneinfo_db.h: FNAME_ZONEINFODB",
  ],
  [
    C,
    /^caldav_alarm\.sqlite3(-journal|-wal|-shm)?$/,
    "derivable",
    "next alarms: made anew from the calendars by dav_reconstruct",
    "imap/caldav_alarm.c",
  ],

  [C, /^mailboxes\.db$/, "critical", "the list of mailboxes", "imap/mboxlist.h: FNAME_MBOXLIST"],
  [
    C,
    /^annotations\.db$/,
    "critical",
    "annotations of the server and of mailboxes: special use, colours, expiry",
    "imap/annotate.h: FNAME_GLOBALANNOTATIONS",
  ],
  [
    C,
    /^(quotas\.db$|(domain\/[^/]+\/[^/]+\/)?quota(\/|$))/,
    "critical",
    "quota limits: the usage can be counted again, the limits cannot",
    "lib/cyrusdb_quotalegacy.c, imap/quota.h",
  ],
  [
    C,
    /^(user_deny|fetchnews|backups)\.db$/,
    "critical",
    "made by the administrator or known nowhere else",
    "imap/userdeny_db.c, fetchnews.c, backup/backup.h",
  ],
  [
    C,
    userFile("seen"),
    "critical",
    "what the user has read in mailboxes of others, before 2.4 in all",
    "imap/seen.h",
  ],
  [C, userFile("sub"), "critical", "the user's subscriptions", "imap/user.h: FNAME_SUBSSUFFIX"],
  [C, userFile("mboxkey"), "critical", "secrets behind URLs that were given out (URLAUTH)", "imap/mboxkey.h"],
  [
    C,
    userFile("counters"),
    "critical",
    "highest modseqs: if they went back, clients would miss changes",
    "imap/user.h: FNAME_COUNTERSSUFFIX",
  ],
  [
    C,
    userFile("conversations(?:-journal)?"),
    "derivable",
    "threads: made anew by ctl_conversationsdb -R",
    "imap/conversations.h",
  ],
  [C, userFile("dav(?:-journal|-wal|-shm)?"), "derivable", "made anew by dav_reconstruct", "imap/dav_db.h"],
  [
    C,
    /^user\/uuid\/.+\/dav\.db-(journal|wal|shm)$/,
    "derivable",
    "made anew by dav_reconstruct",
    "imap/dav_db.h",
  ],
  [
    C,
    userFile("xapianactive"),
    "expensive",
    "names the parts of the user's search index: of use only with them",
    "imap/search_engines.h; imap/search_xapian.c",
  ],

  [
    P,
    /^stage\.(\/|$)/,
    "disposable",
    "messages on their way in: linked to their mailboxes when they are whole",
    "imap/append.c: stage.",
  ],
  [P, /^sync\.(\/|$)/, "disposable", "messages on their way in by replication", "imap/sync_support.c: sync."],

  [M, /^[1-9]\d*\.$/, "critical", "a message", "imap/mailbox.c: mailbox_record_fname"],
  [M, /^cyrus\.header$/, "critical", "uniqueid, ACL, names of flags", "imap/mailbox.h: FNAME_HEADER"],
  [M, /^cyrus\.index$/, "critical", "UIDs, flags, dates, modseqs", "imap/mailbox.h: FNAME_INDEX"],
  [M, /^cyrus\.annotations$/, "critical", "annotations of messages", "imap/mailbox.h: FNAME_ANNOTATIONS"],
  [
    M,
    /^cyrus\.(expunge|seen)$/,
    "critical",
    "records that old versions kept beside the index",
    "imap/mailbox.h: FNAME_EXPUNGE; imap/seen_db.c: FNAME_SEEN",
  ],
  [
    M,
    /^cyrus\.cache$/,
    "derivable",
    "parsed headers: made anew by reconstruct",
    "imap/mailbox.h: FNAME_CACHE",
  ],
  [
    M,
    /^cyrus\.dav$/,
    "derivable",
    "state of an early CalDAV: no version reads it any more",
    "imap/mailbox.h: FNAME_DAV",
  ],
  [
    M,
    /^cyrus\.squat(\.tmp)?$/,
    "disposable",
    "search index: made anew by squatter",
    "imap/mailbox.h: FNAME_SQUAT",
  ],
  [M, /^cyrus\.lock$/, "disposable", "a lock of old versions", "imap/mailbox.c, 2.x", true],
  [M, /^cyrus\.indexed\.db$/, "expensive", "what the search index covers", "imap/search_xapian.c"],

  [
    S,
    /\.bc$/,
    "derivable",
    "a script compiled: made anew from its source",
    "timsieved/scripttest.c; sieve_script_rebuild in 3.6",
  ],
  [
    S,
    /(^|\/)defaultbc$/,
    "critical",
    "says which script is active",
    "timsieved/actions.c, sieve/sieve_interface.h",
  ],
  [S, /\.(script|siv|sieve)$/, "critical", "a script as the user wrote it", "timsieved/actions.c"],
  [["search"], /^/, "expensive", "search index: made anew by squatter", "imap/search_xapian.c"],
];

const UNKNOWN: FileVerdict = {
  fileClass: "critical",
  reason: "not known: kept",
  source: "",
  neverRestore: false,
};

/** @param path - from the root of its place, without a leading slash; for `mailbox` the file's name alone. */
export function classifyFile(place: FilePlace, path: ByteString): FileVerdict {
  for (const [places, pattern, fileClass, reason, source, neverRestore] of RULES)
    if (places.includes(place) && pattern.test(path))
      return { fileClass, reason, source, neverRestore: neverRestore === true };
  return UNKNOWN;
}

const BY_OPTION: Readonly<Record<string, string>> = {
  annotation_db_path: "annotations.db",
  backup_db_path: "backups.db",
  caldav_alarm_db_path: "caldav_alarm.sqlite3",
  duplicate_db_path: "deliver.db",
  jmap_emailsearch_db_path: "jmap_emailsearch.db",
  mboxlist_db_path: "mailboxes.db",
  newsrc_db_path: "fetchnews.db",
  proc_path: "proc",
  mboxname_lockpath: "lock",
  ptscache_db_path: "ptscache.db",
  quota_db_path: "quotas.db",
  statuscache_db_path: "statuscache.db",
  sync_cache_db_path: "sync_cache.db",
  tls_sessions_db_path: "tls_sessions.db",
  tlscache_db_path: "tls_sessions.db",
  userdeny_db_path: "user_deny.db",
  zoneinfo_db_path: "zoneinfo.db",
};

/** A file or directory that an option of imapd.conf puts elsewhere is what it would be in its usual place. */
export function classifyByOption(option: string): FileVerdict {
  const usual = BY_OPTION[option];
  return usual === undefined ? UNKNOWN : classifyFile("config", usual as ByteString);
}

/** For documentation and tests. */
export function fileClassRules(): readonly Omit<FileVerdict, "neverRestore">[] {
  return RULES.map(([, , fileClass, reason, source]) => ({ fileClass, reason, source }));
}
