/**
 * What the options of imapd.conf that name places stand for, and the defaults that changed between versions.
 * From cyrus-imapd's lib/imapoptions of 2.4.22, 2.5.17, 3.0, 3.6.1, 3.12 and 1f3a129, and the FNAME_* constants.
 */

/** A database at one place for the whole server. */
export interface DatabaseOption {
  readonly name: string;
  /** The option with the engine's name, where there is one. */
  readonly engineOption: string | undefined;
  readonly pathOption: string;
  /** Below configdirectory; undefined: without the option there is no such file. */
  readonly defaultFile: string | undefined;
}

export type DatabaseName = (typeof DATABASES)[number]["name"];
export const DATABASES = [
  database("mailboxes", "mboxlist_db", "mboxlist_db_path", "mailboxes.db"),
  database("annotations", "annotation_db", "annotation_db_path", "annotations.db"),
  database("quotas", "quota_db", "quota_db_path", "quotas.db"),
  database("userDeny", "userdeny_db", "userdeny_db_path", "user_deny.db"),
  database("deliver", "duplicate_db", "duplicate_db_path", "deliver.db"),
  database("tlsSessions", "tls_sessions_db", "tls_sessions_db_path", "tls_sessions.db"),
  database("statusCache", "statuscache_db", "statuscache_db_path", "statuscache.db"),
  database("ptsCache", "ptscache_db", "ptscache_db_path", "ptclient/ptscache.db"),
  database("fetchNews", undefined, "newsrc_db_path", "fetchnews.db"),
  database("zoneInfo", "zoneinfo_db", "zoneinfo_db_path", "zoneinfo.db"),
  database("caldavAlarm", undefined, "caldav_alarm_db_path", "caldav_alarm.sqlite3"),
  database("syncCache", "sync_cache_db", "sync_cache_db_path", undefined),
  database("jmapEmailSearch", undefined, "jmap_emailsearch_db_path", undefined),
  database("cyrusBackups", "backup_db", "backup_db_path", "backups.db"),
] as const;

/** Engines of per-user and per-mailbox databases, which have no path of their own. */
export const PER_USER_ENGINES: readonly string[] = [
  "seenstate_db",
  "subscription_db",
  "mboxkey_db",
  "conversations_db",
  "search_indexed_db",
  "sortcache_db",
];

/** Old name to the one that replaced it; the new one wins where both are given. */
export const RENAMED_OPTIONS: ReadonlyMap<string, string> = new Map([
  ["tlscache_db", "tls_sessions_db"],
  ["tlscache_db_path", "tls_sessions_db_path"],
]);

/** Why an option names a place that the layout does not need. */
export type PathRole =
  /** Sockets, process ids, scratch space: made anew by a running server. */
  | "runtime"
  /** Keys, certificates, password files: needed for a restore, outside Cyrus's own tree. */
  | "secret"
  | "program"
  /** Templates and tables of the site. */
  | "site-file"
  | "news"
  /** The store of Cyrus's own former backup server. */
  | "cyrus-backups";

export const PATH_ROLES: ReadonlyMap<string, PathRole> = new Map([
  ...roles(
    "runtime",
    "proc_path mboxname_lockpath temp_path idlesocket lmtpsocket notifysocket ptloader_sock master_pid_file",
    "master_ready_file sync_shutdown_file caldav_alarm_suppress_file prometheus_stats_dir backup_staging_path",
  ),
  ...roles(
    "secret",
    "tls_server_cert tls_server_key tls_server_ca_file tls_server_ca_dir tls_client_cert tls_client_key",
    "tls_client_ca_file tls_client_ca_dir tls_client_certs tls_crl_file tls_server_dhparam tls_ca_file tls_ca_path",
    "tls_cert_file tls_key_file ldap_ca_file ldap_ca_dir ldap_client_cert ldap_client_key ldap_tls_cacert_file",
    "ldap_tls_cacert_dir ldap_tls_cert ldap_tls_key http_jwt_key_dir ischedule_dkim_key_file srvtab srs_secrets",
  ),
  ...roles("program", "sendmail annotation_callout debug_command"),
  ...roles(
    "site-file",
    "httpdocroot zoneinfo_dir search_stopword_path rss_feedlist_template virusscan_notification_template",
    "autocreate_sieve_script autocreate_sieve_script_compiled autocreate_sieve_compiled_script",
    "annotation_definitions",
  ),
  ...roles("news", "newsspool"),
]);

/** Values that begin with a slash and are names of annotations, not places. */
export const NOT_PATHS: ReadonlySet<string> = new Set([
  "jmap_imagesize_annot",
  "jmap_inlinedcids_annot",
  "jmap_preview_annot",
  "jmap_set_has_attachment",
]);

/** Other options that say where data lie or how paths are made: an override for one service is worth naming. */
export const LAYOUT_OPTIONS: readonly string[] = [
  "configdirectory",
  "metapartition_files",
  "sievedir",
  "sieveusehomedir",
  "hashimapspool",
  "fulldirhash",
  "virtdomains",
  "unixhierarchysep",
  "archive_enabled",
  "mboxname_userpath",
  "mailbox_legacy_dirs",
  "deletedprefix",
];

export interface VersionDefaults {
  readonly unixHierarchySep: boolean;
  readonly altNamespace: boolean;
  readonly legacyDirs: boolean;
  readonly deleteMode: string;
  readonly expungeMode: string;
  /** Of databases that are neither `flat` nor `quotalegacy` by default. */
  readonly engine: string;
}

/** @param version - `2.4.22`, `3.6.1-Debian-…`; undefined: unknown, taken as 3.6. */
export function versionDefaults(version: string | undefined): VersionDefaults {
  const [, major = "3", minor = "6"] = /^(\d+)\.(\d+)/.exec(version ?? "") ?? [];
  const number = Number(major) * 1000 + Number(minor);
  return {
    unixHierarchySep: number >= 3000,
    altNamespace: number >= 3000,
    legacyDirs: number < 3005,
    deleteMode: number >= 2005 ? "delayed" : "immediate",
    expungeMode: number >= 2005 ? "delayed" : number >= 2003 ? "default" : "immediate",
    engine: number >= 2005 ? "twoskip" : "skiplist",
  };
}

/** The engine Cyrus uses where imapd.conf names none. Sniff the file's magic all the same. */
export function defaultEngine(option: string, defaults: VersionDefaults): string {
  switch (option) {
    case "quota_db":
      return "quotalegacy";
    case "subscription_db":
    case "userdeny_db":
      return "flat";
    case "conversations_db":
      return "skiplist";
    default:
      return defaults.engine;
  }
}

function database<Name extends string>(
  name: Name,
  engineOption: string | undefined,
  pathOption: string,
  defaultFile: string | undefined,
): DatabaseOption & { readonly name: Name } {
  return { name, engineOption, pathOption, defaultFile };
}

function roles(role: PathRole, ...names: readonly string[]): [string, PathRole][] {
  return names.flatMap((line) => line.split(" ")).map((name) => [name, role]);
}
