/**
 * A Cyrus server as its configuration describes it: which places hold its data, where they lie for us, what else
 * an administrator needs to put it back.
 */
import { type ByteString, fromText, joinPath, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { classifyByOption } from "../cyrus/file-class.ts";
import { type ImapdConf, parseImapdConf } from "../cyrus/imapd-conf.ts";
import { effectiveLayout, type ServerLayout } from "../cyrus/imapd-conf-layout.ts";
import { DATABASES } from "../cyrus/imapd-conf-options.ts";
import type { FindingCode, Severity } from "../manifest/finding.ts";
import { hostMountPoints } from "./host-mounts.ts";
import { lstatSource, readSourceFile } from "./read-file.ts";
import type { RootKind, ServerRoot } from "./roots.ts";
import { isWithin, normalise, parentOf, relativeTo, type SourceView } from "./view.ts";

export interface ServerNote {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly path: ByteString;
  readonly message: string;
}

export interface ServerDescription {
  /** As on the server. */
  readonly configPath: ByteString;
  readonly conf: ImapdConf;
  readonly layout: ServerLayout;
  readonly roots: readonly ServerRoot[];
  /** Places that belong to a server and are left out: runtime directories outside the configdirectory. */
  readonly notes: readonly ServerNote[];
}

export interface ServerInput {
  readonly view: SourceView;
  /** As given on the command line; undefined: /etc/imapd.conf. */
  readonly config: ByteString | undefined;
  /** `--include`: further files or directories, as on the server. */
  readonly includes: readonly ByteString[];
  readonly withSearch: boolean;
  readonly mountPoints?: readonly ByteString[];
}

const CONFIG_BYTES_MAX = 4 * 1024 * 1024;
const DEFAULT_CONFIG = fromText("/etc/imapd.conf");

/** What operators need besides Cyrus's own trees, where it exists. */
const SITE_FILES = [
  "/etc/cyrus.conf",
  "/etc/default/cyrus-imapd",
  "/etc/default/cyrus2.4",
  "/etc/default/saslauthd",
  "/etc/sysconfig/cyrus-imapd",
  "/etc/sysconfig/saslauthd",
  "/etc/saslauthd.conf",
  "/etc/sasldb2",
  "/etc/sasl2",
  "/etc/sasl",
  "/etc/pam.d/imap",
  "/etc/pam.d/pop",
  "/etc/pam.d/pop3",
  "/etc/pam.d/lmtp",
  "/etc/pam.d/sieve",
  "/etc/pam.d/nntp",
  "/etc/pam.d/csync",
  "/etc/pam.d/cyrus",
  "/etc/systemd/system/cyrus-imapd.service",
  "/etc/systemd/system/cyrus-imapd.service.d",
].map(fromText);

/** @throws {CyrvaultError} `CONFIG_INVALID`, `SOURCE_INVALID`, `IO`. */
export function describeServer(input: ServerInput): ServerDescription {
  const { view } = input;
  const { configPath, conf } = readConfig(view, input.config);
  const layout = effectiveLayout(conf);
  const roots = new RootCollector(view);

  roots.require("config", "", layout.configDirectory, "configdirectory");
  if (layout.userPath !== layout.configDirectory)
    roots.require("config", "", layout.userPath, "mboxname_userpath");
  if (layout.partitions.size === 0) {
    throw new CyrvaultError("CONFIG_INVALID", `${toText(configPath)} names no partition`, {
      hint: "is this the imapd.conf of the server itself?",
    });
  }
  for (const [name, path] of layout.partitions) roots.require("partition", name, path, `partition-${name}`);
  for (const [name, path] of layout.metaPartitions)
    roots.require("metapartition", name, path, `metapartition-${name}`);
  for (const [key, path] of layout.metaDirs) {
    const name = key.slice(key.indexOf("-") + 1) as ByteString;
    roots.require("metapartition", name, path, `metadir-${key}`);
  }
  for (const [name, path] of layout.archivePartitions) {
    if (layout.archiveEnabled) roots.require("archivepartition", name, path, `archivepartition-${name}`);
    else roots.add("archivepartition", name, path);
  }
  roots.add("sieve", "", layout.sieveDir);
  if (input.withSearch) {
    for (const { tier, partition, path } of layout.searchPartitions)
      roots.add("search", `${tier}-${partition}`, path);
  }
  for (const { name, pathOption } of DATABASES) {
    const { path } = layout.databases[name];
    if (path !== undefined && classifyByOption(pathOption).fileClass !== "disposable") roots.addFile(path);
  }
  const { quotaDirectory } = layout;
  if (quotaDirectory !== undefined && !isWithin(quotaDirectory, layout.configDirectory))
    roots.add("config", "", quotaDirectory);
  for (const { path } of conf.files) roots.addConfigFile(path);
  for (const path of siteFiles(configPath, conf)) roots.addFile(path);
  for (const path of input.includes) roots.require("include", "", path, `--include ${toText(path)}`);

  refuseHoles(view, roots.roots, input.mountPoints ?? (view.isMapped ? hostMountPoints() : []));
  return { configPath, conf, layout, roots: roots.roots, notes: notesOf(layout, configPath, roots.roots) };
}

class RootCollector {
  readonly roots: ServerRoot[] = [];
  readonly #view: SourceView;

  constructor(view: SourceView) {
    this.#view = view;
  }

  require(kind: RootKind, name: string, path: ByteString, setting: string): void {
    if (this.add(kind, name, path, setting)) return;
    throw new CyrvaultError(
      "SOURCE_INVALID",
      `${setting}: there is no ${toText(path)} in what is to be read`,
      {
        hint: this.#view.isMapped
          ? `looked for ${toText(this.#view.locate(path))}: give --root, or --map ${toText(path)}=/where/it/is/frozen`
          : "is the filesystem mounted, and is this the right imapd.conf?",
      },
    );
  }

  /** @returns false: there is nothing. */
  add(kind: RootKind, name: string, path: ByteString, setting: string = toText(path)): boolean {
    const logicalPath = normalise(path);
    const resolved = this.#view.resolve(logicalPath);
    if (resolved === undefined) return false;
    if (this.roots.some((root) => root.path === resolved.serverPath)) return true;
    const type = lstatSource(resolved.realPath)?.type;
    if (type !== "directory" && kind !== "include" && kind !== "file") {
      throw new CyrvaultError("SOURCE_INVALID", `${setting}: ${toText(path)} is not a directory`);
    }
    for (const link of resolved.links) this.#addLink(link);
    this.#view.requireSameDevice(resolved, setting);
    this.roots.push({
      kind,
      name: name as ByteString,
      path: resolved.serverPath,
      realPath: resolved.realPath,
      logicalPath,
      configuredPath: logicalPath,
    });
    return true;
  }

  /** What the configuration names must lead to the same place after a restore. */
  #addLink(path: ByteString): void {
    if (this.roots.some((root) => isWithin(path, root.path))) return;
    const realPath = this.#view.locate(path);
    this.roots.push({
      kind: "file",
      name: "" as ByteString,
      path,
      realPath,
      logicalPath: path,
      configuredPath: path,
    });
  }

  /** A configuration that was named by its own path need not lie in the snapshot. */
  addConfigFile(path: ByteString): void {
    this.addFile(path);
    if (this.#view.resolve(normalise(path)) !== undefined) return;
    const place = normalise(path);
    this.roots.push({
      kind: "file",
      name: "" as ByteString,
      path: place,
      realPath: place,
      logicalPath: place,
      configuredPath: place,
    });
  }

  /** Unless it lies in a root anyway. */
  addFile(path: ByteString): void {
    const resolved = this.#view.resolve(normalise(path));
    if (resolved === undefined || this.roots.some((root) => isWithin(resolved.serverPath, root.path))) return;
    this.add("file", "", path);
  }
}

/**
 * A configuration file that was named is taken literally where it exists, otherwise looked up in the snapshot; the
 * default one is looked up in the snapshot first. Includes are looked up where the main file was found.
 */
function readConfig(
  view: SourceView,
  given: ByteString | undefined,
): { configPath: ByteString; conf: ImapdConf } {
  const wanted = normalise(given ?? DEFAULT_CONFIG);
  const inView = (path: ByteString): Buffer | undefined => {
    const resolved = view.resolve(normalise(path));
    return resolved === undefined ? undefined : readSourceFile(resolved.realPath, CONFIG_BYTES_MAX)?.bytes;
  };
  const literally = (path: ByteString): Buffer | undefined => readSourceFile(path, CONFIG_BYTES_MAX)?.bytes;
  const literalServerPath = view.serverPathOf(wanted) ?? wanted;
  const attempts: {
    path: ByteString;
    read: (path: ByteString) => Buffer | undefined;
    first: Buffer | undefined;
  }[] = [];
  const viewAttempt = { path: wanted, read: inView, first: inView(wanted) };
  const literalAttempt = {
    path: literalServerPath,
    read: (path: ByteString) => inView(path) ?? literally(path),
    first: literally(wanted),
  };
  attempts.push(...(given === undefined ? [viewAttempt, literalAttempt] : [literalAttempt, viewAttempt]));
  for (const { path, read, first } of attempts) {
    if (first === undefined) continue;
    return { configPath: path, conf: parseImapdConf(path, (file) => (file === path ? first : read(file))) };
  }
  throw new CyrvaultError("CONFIG_INVALID", `there is no ${toText(wanted)}`, {
    hint: "name the server's configuration: --config /path/to/imapd.conf",
  });
}

function siteFiles(configPath: ByteString, conf: ImapdConf): ByteString[] {
  const files = [joinPath(parentOf(configPath), "cyrus.conf" as ByteString), ...SITE_FILES];
  for (const key of ["sasl_sasldb_path", "sasl_saslauthd_path"]) {
    const value = conf.entries.get(key)?.value;
    if (value?.startsWith("/")) files.push(value);
  }
  return files;
}

/** In a snapshot of one filesystem, another one that is mounted inside a root is nothing but an empty directory. */
function refuseHoles(
  view: SourceView,
  roots: readonly ServerRoot[],
  mountPoints: readonly ByteString[],
): void {
  for (const point of mountPoints) {
    const root = roots.find(
      ({ path, kind }) => kind !== "include" && point !== path && isWithin(point, path),
    );
    if (root === undefined || view.mappings.some(({ from }) => from === point)) continue;
    // What is mounted inside our own mount points is seen when the walk meets another device.
    if (view.root !== "/" && isWithin(point, view.root)) continue;
    // ZFS mounts a snapshot inside the filesystem that it is of.
    if (view.mappings.some(({ to }) => isWithin(point, to))) continue;
    if (RUNTIME.test(relativeTo(point, root.path))) continue;
    throw new CyrvaultError(
      "SOURCE_INVALID",
      `${toText(point)} is a filesystem of its own inside ${toText(root.path)}, and a snapshot does not reach into it`,
      {
        hint: `freeze it too and give --map ${toText(point)}=/where/it/is/frozen`,
      },
    );
  }
}

/** Places below the configdirectory that hold nothing to keep. */
const RUNTIME = /^(lock|proc|socket|run|stats)(\/|$)/;

function notesOf(layout: ServerLayout, configPath: ByteString, roots: readonly ServerRoot[]): ServerNote[] {
  const notes: ServerNote[] = layout.unknownLocations.map(({ key, value, reason }) => ({
    code: "config-unknown-location",
    severity: "warning",
    path: configPath,
    message: `${key}: ${toText(value)}: ${reason}`,
  }));
  if (layout.sieveUseHomeDir) {
    notes.push({
      code: "sieve-in-homes",
      severity: "warning",
      path: configPath,
      message:
        "sieveusehomedir is on: sieve scripts lie in the users' home directories, which are not part of this backup",
    });
  }
  for (const { key, path, role } of layout.otherPaths) {
    if (role !== "secret" && role !== "site-file" && role !== "news") continue;
    const place = normalise(path);
    if (roots.some((root) => isWithin(place, root.logicalPath) || isWithin(place, root.path))) continue;
    notes.push({
      code: "config-unknown-location",
      severity: "note",
      path,
      message: `${key} names it, and it is not part of this backup: --include ${toText(path)} would keep it`,
    });
  }
  return notes;
}
