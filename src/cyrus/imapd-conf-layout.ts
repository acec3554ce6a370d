/**
 * From an imapd.conf to where everything of a server lies: roots, databases, and what decides how paths are made.
 * What puts data elsewhere and is not understood is named in `unknownLocations`, never passed over.
 *
 * Pure. Facts: cyrus-imapd 1f3a129, lib/libconfig.c config_read(), config_partitiondir() and neighbours;
 * lib/cyrusdb_quotalegacy.c for the quota tree.
 */
import type { ByteString } from "../base/byte-string.ts";
import { type ConfigEntry, type ImapdConf, invalid, parseSwitch } from "./imapd-conf.ts";
import {
  DATABASES,
  type DatabaseName,
  defaultEngine,
  LAYOUT_OPTIONS,
  NOT_PATHS,
  PATH_ROLES,
  type PathRole,
  PER_USER_ENGINES,
  RENAMED_OPTIONS,
  type VersionDefaults,
  versionDefaults,
} from "./imapd-conf-options.ts";
import {
  type DatabasePlace,
  META_KINDS,
  type MetaKind,
  type OtherPath,
  type SearchPartition,
  type ServerLayout,
  type UnknownLocation,
} from "./server-layout.ts";

export type { ServerLayout } from "./server-layout.ts";

/** Kinds with a `metadir-KIND-PARTITION` of their own. Annotations go with the index. */
const METADIR_KINDS = ["header", "index", "cache", "squat", "dav", "archivecache"] as const;
type MetadirKind = (typeof METADIR_KINDS)[number];

export interface LayoutOptions {
  /** `2.4.22`, `3.6.1-Debian-…`: decides defaults. Unknown: those of 3.6. */
  readonly cyrusVersion?: string;
}

/** @throws CyrvaultError `CONFIG_INVALID` for a value that Cyrus would not start with. */
export function effectiveLayout(conf: ImapdConf, options: LayoutOptions = {}): ServerLayout {
  return new LayoutReader(conf, versionDefaults(options.cyrusVersion)).read();
}

const FAMILY = /^(partition|metapartition|archivepartition|backuppartition|metadir)-(.+)$/;
const SERVICE_FAMILY = /^(.+?)_((?:partition|metapartition|archivepartition|metadir)-.+)$/;
const SEARCH_FAMILY = /^(.*)searchpartition-(.+)$/;
const PLACEHOLDER = "{configdirectory}";

class LayoutReader {
  readonly #conf: ImapdConf;
  readonly #defaults: VersionDefaults;
  readonly #configDirectory: ByteString;
  readonly #partitions = new Map<ByteString, ByteString>();
  readonly #metaPartitions = new Map<ByteString, ByteString>();
  readonly #metaDirs = new Map<string, ByteString>();
  readonly #archivePartitions = new Map<ByteString, ByteString>();
  readonly #searchPartitions: SearchPartition[] = [];
  readonly #otherPaths: OtherPath[] = [];
  readonly #unknown: UnknownLocation[] = [];
  /** Options with a meaning here: what is left over is looked at for paths. */
  readonly #understood: ReadonlySet<string>;

  constructor(conf: ImapdConf, defaults: VersionDefaults) {
    this.#conf = conf;
    this.#defaults = defaults;
    const entry = conf.entries.get("configdirectory");
    const place = entry ?? (conf.files[0] && { file: conf.files[0].path, line: 0 });
    if (entry === undefined) throw invalid("configdirectory is not given", place);
    if (!entry.value.startsWith("/") || entry.value === "/") {
      throw invalid("configdirectory must be an absolute path, and not /", place);
    }
    this.#configDirectory = entry.value;
    this.#understood = new Set([
      ...LAYOUT_OPTIONS,
      ...DATABASES.flatMap((it) => [it.pathOption, it.engineOption ?? it.pathOption]),
      ...RENAMED_OPTIONS.keys(),
      ...PER_USER_ENGINES,
    ]);
  }

  read(): ServerLayout {
    const archiveEnabled = this.#switch("archive_enabled", false);
    for (const [key, entry] of this.#conf.entries) this.#readKey(key, entry, archiveEnabled);
    const databases = this.#databases();
    const { engine: quotaEngine, path: quotaPath } = databases.quotas;
    if (this.#switch("object_storage_enabled", false)) {
      this.#name("object_storage_enabled", "archived messages may lie in an object store, not on disk");
    }
    return {
      configDirectory: this.#configDirectory,
      userPath: this.#string("mboxname_userpath") ?? this.#configDirectory,
      partitions: this.#partitions,
      defaultPartition: this.#defaultPartition(),
      metaPartitions: this.#metaPartitions,
      metaPartitionFiles: this.#metaPartitionFiles(),
      metaDirs: this.#metaDirs,
      archivePartitions: this.#archivePartitions,
      archiveEnabled,
      searchPartitions: this.#searchPartitions,
      sieveDir: this.#string("sievedir") ?? ("/usr/sieve" as ByteString),
      sieveUseHomeDir: this.#switch("sieveusehomedir", false),
      quotaDirectory:
        quotaEngine === "quotalegacy" && quotaPath !== undefined ? quotaTree(quotaPath) : undefined,
      databases,
      engines: new Map(PER_USER_ENGINES.map((option) => [option, this.#engine(option)])),
      hashImapSpool: this.#switch("hashimapspool", false),
      fullDirHash: this.#switch("fulldirhash", false),
      virtDomains: this.#virtDomains(),
      defaultDomain: this.#string("defaultdomain"),
      unixHierarchySep: this.#switch("unixhierarchysep", this.#defaults.unixHierarchySep),
      altNamespace: this.#switch("altnamespace", this.#defaults.altNamespace),
      legacyDirs: this.#defaults.legacyDirs || this.#switch("mailbox_legacy_dirs", false),
      deletedPrefix: this.#string("deletedprefix") ?? ("DELETED" as ByteString),
      deleteMode: this.#string("delete_mode") ?? this.#defaults.deleteMode,
      expungeMode: this.#string("expunge_mode") ?? this.#defaults.expungeMode,
      lockPath: this.#string("mboxname_lockpath") ?? this.#below("lock"),
      procPath: this.#string("proc_path") ?? this.#below("proc"),
      serverName: this.#string("servername"),
      searchEngine: this.#string("search_engine") ?? "none",
      otherPaths: this.#otherPaths,
      unknownLocations: this.#unknown,
    };
  }

  #readKey(key: string, entry: ConfigEntry, archiveEnabled: boolean): void {
    const search = SEARCH_FAMILY.exec(key);
    if (search !== null) {
      const [, tier = "", partition = ""] = search;
      this.#searchPartitions.push({
        tier: tier as ByteString,
        partition: partition as ByteString,
        path: this.#rootPath(key, entry),
      });
      return;
    }
    const family = FAMILY.exec(key);
    if (family !== null) {
      const [, name = "", partition = ""] = family;
      this.#readFamily(key, name, partition as ByteString, entry, archiveEnabled);
      return;
    }
    const override = SERVICE_FAMILY.exec(key);
    if (override !== null) {
      this.#name(key, `only the service ${override[1]} sees this value of ${override[2]}`);
      return;
    }
    const option = RENAMED_OPTIONS.get(key) ?? key;
    const role = PATH_ROLES.get(option);
    if (role !== undefined) this.#addOther(key, entry.value, role);
    else if (!this.#understood.has(option)) this.#readUnknown(key, entry.value);
  }

  #readFamily(
    key: string,
    family: string,
    partition: ByteString,
    entry: ConfigEntry,
    archiveEnabled: boolean,
  ): void {
    const path = this.#rootPath(key, entry);
    switch (family) {
      case "partition":
        this.#partitions.set(partition, path);
        break;
      case "metapartition":
        this.#metaPartitions.set(partition, path);
        break;
      case "archivepartition":
        this.#archivePartitions.set(partition, path);
        if (!archiveEnabled)
          this.#name(key, "archive_enabled is off: Cyrus does not look there, files may remain");
        break;
      case "backuppartition":
        this.#otherPaths.push({ key, path, role: "cyrus-backups" });
        break;
      default:
        if (METADIR_KINDS.some((kind: MetadirKind) => partition.startsWith(`${kind}-`)))
          this.#metaDirs.set(partition, path);
        else this.#name(key, "no kind of file that Cyrus moves by a metadir option");
    }
  }

  /** An option we have no meaning for: for one service only, or a path, or nothing of ours. */
  #readUnknown(key: string, value: ByteString): void {
    if (key.startsWith("sasl_")) {
      if (looksLikePath(value)) this.#addOther(key, value, "secret");
      return;
    }
    for (let cut = key.indexOf("_"); cut >= 0; cut = key.indexOf("_", cut + 1)) {
      const option = key.slice(cut + 1);
      const role = PATH_ROLES.get(option);
      if (role !== undefined) {
        this.#addOther(key, value, role);
        return;
      }
      // The replication cache is disposable, and one path for each channel is the rule.
      if (NOT_PATHS.has(option) || option === "sync_cache_db_path") return;
      if (this.#understood.has(option)) {
        this.#name(key, `only the service ${key.slice(0, cut)} sees this value of ${option}`);
        return;
      }
      if (option.startsWith("sasl_") && looksLikePath(value)) {
        this.#addOther(key, value, "secret");
        return;
      }
    }
    if (looksLikePath(value) && !NOT_PATHS.has(key)) this.#name(key, "a path under an option we do not know");
  }

  #addOther(key: string, value: ByteString, role: PathRole): void {
    const path = this.#expand(value);
    // Several of these also take words: `disabled`, a shell command, a value inline.
    if (path.startsWith("/")) this.#otherPaths.push({ key, path, role });
  }

  /** Paths of these families are taken as they stand: Cyrus expands no placeholder in them. */
  #rootPath(key: string, { value }: ConfigEntry): ByteString {
    if (!value.startsWith("/")) this.#name(key, "not an absolute path, and Cyrus expands nothing in it");
    return value;
  }

  #databases(): Record<DatabaseName, DatabasePlace> {
    const places = DATABASES.map(({ name, engineOption, pathOption, defaultFile }) => {
      const configured = this.#string(pathOption);
      const engine = engineOption === undefined ? undefined : this.#engine(engineOption);
      if (engine === "sql" && engineOption !== undefined) {
        this.#name(engineOption, `the ${name} database is in an SQL server (sql_database), not in a file`);
      }
      const path = configured ?? (defaultFile === undefined ? undefined : this.#below(defaultFile));
      return [name, { path, engine, configured: configured !== undefined }] as const;
    });
    for (const option of PER_USER_ENGINES) {
      if (this.#engine(option) === "sql") this.#name(option, "these databases are in an SQL server");
    }
    return Object.fromEntries(places) as Record<DatabaseName, DatabasePlace>;
  }

  #engine(option: string): string {
    return this.#string(option) ?? defaultEngine(option, this.#defaults);
  }

  #metaPartitionFiles(): Set<MetaKind> {
    const kinds = new Set<MetaKind>();
    const entry = this.#entry("metapartition_files");
    for (const word of entry?.value.split(/[ \t\v\f\r]+/) ?? []) {
      const kind = META_KINDS.find((known) => known === word);
      if (kind === undefined) throw invalid(`metapartition_files: unknown kind ${word}`, entry);
      kinds.add(kind);
    }
    return kinds;
  }

  #defaultPartition(): ByteString | undefined {
    const entry = this.#entry("defaultpartition");
    if (entry === undefined) return undefined;
    if (!/^[A-Za-z0-9]+$/.test(entry.value)) {
      throw invalid("defaultpartition has characters other than letters and digits", entry);
    }
    return entry.value.toLowerCase() as ByteString;
  }

  #virtDomains(): "off" | "userid" | "on" {
    const entry = this.#entry("virtdomains");
    switch (entry?.value as string | undefined) {
      case undefined:
      case "off":
      case "0":
      case "no":
      case "f":
      case "false":
        return "off";
      case "userid":
        return "userid";
      case "on":
      case "1":
      case "yes":
      case "t":
      case "true":
        return "on";
      default:
        throw invalid("virtdomains is neither off, userid nor on", entry);
    }
  }

  #switch(option: string, otherwise: boolean): boolean {
    const entry = this.#entry(option);
    if (entry === undefined) return otherwise;
    const value = parseSwitch(entry.value);
    if (value === undefined) throw invalid(`${option} is neither on nor off`, entry);
    return value;
  }

  #string(option: string): ByteString | undefined {
    const entry = this.#entry(option);
    return entry === undefined ? undefined : this.#expand(entry.value);
  }

  #entry(option: string): ConfigEntry | undefined {
    const entry = this.#conf.entries.get(option);
    if (entry !== undefined) return entry;
    for (const [old, current] of RENAMED_OPTIONS) {
      if (current === option) return this.#conf.entries.get(old);
    }
    return undefined;
  }

  #expand(value: ByteString): ByteString {
    if (value.slice(0, PLACEHOLDER.length).toLowerCase() !== PLACEHOLDER) return value;
    return (this.#configDirectory + value.slice(PLACEHOLDER.length)) as ByteString;
  }

  #below(name: string): ByteString {
    return `${this.#configDirectory}/${name}` as ByteString;
  }

  #name(key: string, reason: string): void {
    const value = this.#conf.entries.get(key)?.value ?? ("" as ByteString);
    this.#unknown.push({ key, value, reason });
  }
}

/** The quota engine takes the directory of its database's path, and keeps `quota/` there. */
function quotaTree(databasePath: ByteString): ByteString {
  return `${databasePath.slice(0, Math.max(0, databasePath.lastIndexOf("/")))}/quota` as ByteString;
}

function looksLikePath(value: ByteString): boolean {
  return /^(\/.|\{configdirectory\}|[a-z]+:\/.)/i.test(value) && !/^(https?|ldaps?|ldapi):/i.test(value);
}
