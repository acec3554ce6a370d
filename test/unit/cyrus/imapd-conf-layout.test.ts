import { describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { parseImapdConf } from "../../../src/cyrus/imapd-conf.ts";
import { effectiveLayout } from "../../../src/cyrus/imapd-conf-layout.ts";
import { META_KINDS, metaRootFor, type ServerLayout } from "../../../src/cyrus/server-layout.ts";

function layoutOf(text: string, cyrusVersion?: string): ServerLayout {
  const conf = parseImapdConf(fromText("/etc/imapd.conf"), () =>
    Buffer.from(`configdirectory: /var/lib/cyrus\n${text}`),
  );
  return effectiveLayout(conf, cyrusVersion === undefined ? {} : { cyrusVersion });
}

const b = (value: string): ByteString => value as ByteString;
const unknownKeys = (layout: ServerLayout): string[] => layout.unknownLocations.map((it) => it.key);

const DEBIAN = `
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
defaultpartition: default
partition-default: /var/spool/cyrus/mail
partition-news: /var/spool/cyrus/news
newsspool: /var/spool/news
altnamespace: no
unixhierarchysep: no
sievedir: /var/spool/sieve
sieveusehomedir: false
hashimapspool: true
sasl_pwcheck_method: auxprop
sasl_sasldb_path: /etc/sasldb2
tls_client_ca_dir: /etc/ssl/certs
idlesocket: /run/cyrus/socket/idle
syslog_prefix: cyrus
httpmodules: caldav carddav
`;

describe("effectiveLayout()", () => {
  test("knows everything in the configuration that Debian installs", () => {
    const layout = layoutOf(DEBIAN, "3.6.1-Debian-3.6.1-4+deb12u5");
    expect(layout).toMatchObject({
      configDirectory: "/var/lib/cyrus",
      userPath: "/var/lib/cyrus",
      defaultPartition: "default",
      sieveDir: "/var/spool/sieve",
      sieveUseHomeDir: false,
      hashImapSpool: true,
      fullDirHash: false,
      unixHierarchySep: false,
      legacyDirs: false,
      virtDomains: "off",
      deletedPrefix: "DELETED",
      lockPath: "/run/cyrus/lock",
      procPath: "/run/cyrus/proc",
      quotaDirectory: "/var/lib/cyrus/quota",
      archiveEnabled: false,
      unknownLocations: [],
    });
    expect([...layout.partitions]).toEqual([
      ["default", "/var/spool/cyrus/mail"],
      ["news", "/var/spool/cyrus/news"],
    ]);
    expect(layout.otherPaths.map(({ key, role }) => [key, role])).toEqual([
      ["proc_path", "runtime"],
      ["mboxname_lockpath", "runtime"],
      ["newsspool", "news"],
      ["sasl_sasldb_path", "secret"],
      ["tls_client_ca_dir", "secret"],
      ["idlesocket", "runtime"],
    ]);
  });

  test("resolves every database to its default place", () => {
    const { databases, engines } = layoutOf("");
    const paths = Object.fromEntries(Object.entries(databases).map(([name, { path }]) => [name, path]));
    expect(paths).toEqual({
      mailboxes: "/var/lib/cyrus/mailboxes.db",
      annotations: "/var/lib/cyrus/annotations.db",
      quotas: "/var/lib/cyrus/quotas.db",
      userDeny: "/var/lib/cyrus/user_deny.db",
      deliver: "/var/lib/cyrus/deliver.db",
      tlsSessions: "/var/lib/cyrus/tls_sessions.db",
      statusCache: "/var/lib/cyrus/statuscache.db",
      ptsCache: "/var/lib/cyrus/ptclient/ptscache.db",
      fetchNews: "/var/lib/cyrus/fetchnews.db",
      zoneInfo: "/var/lib/cyrus/zoneinfo.db",
      caldavAlarm: "/var/lib/cyrus/caldav_alarm.sqlite3",
      syncCache: undefined,
      jmapEmailSearch: undefined,
      cyrusBackups: "/var/lib/cyrus/backups.db",
    });
    expect(databases.mailboxes).toMatchObject({ engine: "twoskip", configured: false });
    expect(databases.quotas.engine).toBe("quotalegacy");
    expect([engines.get("subscription_db"), engines.get("seenstate_db")]).toEqual(["flat", "twoskip"]);
  });

  test("takes database paths and engines from the configuration, under old names too", () => {
    const { databases } = layoutOf(
      "mboxlist_db: skiplist\nmboxlist_db_path: {ConfigDirectory}/db/boxes\ntlscache_db_path: /run/tls.db\n",
    );
    expect(databases.mailboxes).toEqual({
      path: "/var/lib/cyrus/db/boxes",
      engine: "skiplist",
      configured: true,
    });
    expect(databases.tlsSessions.path).toBe("/run/tls.db");
    const both = layoutOf("tlscache_db_path: /old\ntls_sessions_db_path: /new\n");
    expect(both.databases.tlsSessions.path).toBe("/new");
  });

  test("the quota tree is beside the path of the quota database, and absent with another engine", () => {
    expect(layoutOf("quota_db_path: /srv/q/quotas.db\n").quotaDirectory).toBe("/srv/q/quota");
    expect(layoutOf("quota_db: twoskip\n").quotaDirectory).toBeUndefined();
  });

  test("defaults follow the version", () => {
    const old = layoutOf("", "2.4.22");
    expect(old).toMatchObject({ unixHierarchySep: false, altNamespace: false, legacyDirs: true });
    expect(old).toMatchObject({ deleteMode: "immediate", expungeMode: "default" });
    expect(old.databases.mailboxes.engine).toBe("skiplist");
    expect(layoutOf("", "2.5.17")).toMatchObject({ unixHierarchySep: false, deleteMode: "delayed" });
    expect(layoutOf("", "3.4.8")).toMatchObject({ unixHierarchySep: true, legacyDirs: true });
    expect(layoutOf("", "3.12.3")).toMatchObject({ unixHierarchySep: true, legacyDirs: false });
    expect(layoutOf("mailbox_legacy_dirs: yes\n", "3.6.1").legacyDirs).toBe(true);
    expect(layoutOf("").sieveDir).toBe("/usr/sieve");
  });

  test("reads search tiers and the path of user files", () => {
    const layout = layoutOf(
      "search_engine: xapian\ndefaultsearchtier: t1\nt1searchpartition-default: /s/1\nsearchpartition-b: /s/2\nmboxname_userpath: /srv/users\n",
    );
    expect(layout.searchPartitions).toEqual([
      { tier: "t1", partition: "default", path: "/s/1" },
      { tier: "", partition: "b", path: "/s/2" },
    ]);
    expect(layout).toMatchObject({ searchEngine: "xapian", userPath: "/srv/users", unknownLocations: [] });
  });

  test.each([
    ["virtdomains: yes", "on"],
    ["virtdomains: userid", "userid"],
    ["virtdomains: false", "off"],
  ])("%s means %s", (line, mode) => {
    expect(layoutOf(`${line}\n`).virtDomains).toBe(mode);
  });

  test.each([
    ["hashimapspool: Yes", /hashimapspool is neither on nor off/],
    ["virtdomains: maybe", /virtdomains/],
    ["metapartition_files: header indx", /unknown kind indx/],
    ["defaultpartition: a-b", /defaultpartition/],
  ])("refuses %s, with file and line", (line, why) => {
    try {
      layoutOf(`${line}\n`);
    } catch (error) {
      expect(isCyrvaultError(error, "CONFIG_INVALID")).toBe(true);
      expect(String(error)).toMatch(why);
      expect(String(error)).toContain("/etc/imapd.conf:2");
      return;
    }
    expect.unreachable();
  });

  test.each(["x: y", "configdirectory: var/lib", "configdirectory: /"])("refuses %s alone", (text) => {
    const conf = parseImapdConf(fromText("/c"), () => Buffer.from(text));
    expect(() => effectiveLayout(conf)).toThrow(/configdirectory/);
  });
});

describe("unknown locations", () => {
  test.each([
    ["a path under an option nobody knows", "frobspool: /srv/frob", "frobspool"],
    ["a placeholder under one", "frobspool: {configdirectory}/frob", "frobspool"],
    ["a partition for one service only", "lmtp_partition-default: /x", "lmtp_partition-default"],
    ["a layout option for one service only", "sync_client_sievedir: /x", "sync_client_sievedir"],
    ["a database path for one service only", "imap_mboxlist_db_path: /x", "imap_mboxlist_db_path"],
    ["a placeholder that Cyrus does not expand", "partition-a: {configdirectory}/a", "partition-a"],
    ["a relative partition", "metapartition-a: meta", "metapartition-a"],
    ["an archive partition that is switched off", "archivepartition-a: /archive", "archivepartition-a"],
    ["a metadir option of no known kind", "metadir-frob-a: /x", "metadir-frob-a"],
    ["an object store", "object_storage_enabled: 1", "object_storage_enabled"],
    ["a database in an SQL server", "mboxlist_db: sql", "mboxlist_db"],
    ["a user database in an SQL server", "conversations_db: sql", "conversations_db"],
  ])("name %s", (_, line, key) => {
    const layout = layoutOf(`${line}\n`);
    expect(unknownKeys(layout)).toEqual([key]);
    expect(layout.unknownLocations[0]?.value).toBe(line.slice(line.indexOf(":") + 2));
    expect(layout.unknownLocations[0]?.reason).not.toBe("");
  });

  test("leave out what is understood, and what is no path", () => {
    const layout = layoutOf(
      [
        "imap_tls_server_cert: /etc/ssl/a.pem",
        "east_sync_cache_db_path: /run/east.db",
        "jmap_preview_annot: /shared/vendor/x/preview",
        "ldap_uri: ldapi:///run/slapd",
        "netscapeurl: http://example.org/",
        "unixhierarchysep: yes",
        "debug_command: gdb -p %d",
        "backuppartition-default: /backups",
        "imap_sasl_sasldb_path: /etc/other",
        "",
      ].join("\n"),
    );
    expect(layout.unknownLocations).toEqual([]);
    expect(layout.otherPaths).toEqual([
      { key: "imap_tls_server_cert", path: "/etc/ssl/a.pem", role: "secret" },
      { key: "backuppartition-default", path: "/backups", role: "cyrus-backups" },
      { key: "imap_sasl_sasldb_path", path: "/etc/other", role: "secret" },
    ]);
  });
});

describe("metaRootFor()", () => {
  const p = b("a");
  const roots = (layout: ServerLayout): (string | undefined)[] =>
    META_KINDS.map((kind) => metaRootFor(layout, kind, p));

  test("is the partition where nothing is moved, and absent for an unknown partition", () => {
    const layout = layoutOf("partition-a: /data\nmetapartition-a: /meta\n");
    expect(new Set(roots(layout))).toEqual(new Set(["/data"]));
    expect(metaRootFor(layout, "index", b("z"))).toBeUndefined();
  });

  test("is the metapartition for the kinds that it takes", () => {
    const layout = layoutOf(
      "partition-a: /data\npartition-b: /b\nmetapartition-a: /meta\nmetapartition_files: header index\n",
    );
    expect(metaRootFor(layout, "header", p)).toBe("/meta");
    expect(metaRootFor(layout, "cache", p)).toBe("/data");
    expect(metaRootFor(layout, "header", b("b"))).toBe("/b");
  });

  test("a metadir beats the metapartition, and annotations go with the index", () => {
    const layout = layoutOf(
      "partition-a: /data\nmetapartition-a: /meta\nmetapartition_files: index annotations expunge\nmetadir-index-a: /fast\nmetadir-expunge-a: /no\n",
    );
    expect(metaRootFor(layout, "index", p)).toBe("/fast");
    expect(metaRootFor(layout, "annotations", p)).toBe("/fast");
    expect(metaRootFor(layout, "expunge", p)).toBe("/meta");
    expect(unknownKeys(layout)).toEqual(["metadir-expunge-a"]);
  });

  test("the archive's cache is in the archive, if there is one and it is on", () => {
    const text = "partition-a: /data\narchivepartition-a: /archive\n";
    expect(metaRootFor(layoutOf(`${text}archive_enabled: yes\n`), "archivecache", p)).toBe("/archive");
    expect(metaRootFor(layoutOf(text), "archivecache", p)).toBe("/data");
    const moved = `${text}archive_enabled: yes\nmetapartition-a: /meta\nmetapartition_files: archivecache\n`;
    expect(metaRootFor(layoutOf(moved), "archivecache", p)).toBe("/meta");
  });
});
