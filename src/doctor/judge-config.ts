/** What the configuration says lies elsewhere, or is better backed up elsewhere. */
import { type ByteString, toText } from "../base/byte-string.ts";
import type { ImapdConf } from "../cyrus/imapd-conf.ts";
import type { ServerLayout } from "../cyrus/server-layout.ts";
import type { Filesystem } from "../source/host/filesystems.ts";
import { holdsMailboxes, type ServerRoot } from "../source/roots.ts";
import { isWithin, normalise } from "../source/view.ts";
import type { Check } from "./check.ts";
import type { CyrusConfEntry } from "./schedule.ts";

export interface ConfigInput {
  readonly conf: Pick<ImapdConf, "entries">;
  readonly layout: ServerLayout;
  readonly roots: readonly ServerRoot[];
  readonly filesystems: readonly Filesystem[];
  readonly cyrusConf: readonly CyrusConfEntry[];
  readonly exists: (path: ByteString) => boolean;
}

/** Has a check of its own. */
const SASLDB_OPTION = "sasl_sasldb_path";

export function judgeConfig(input: ConfigInput): Check[] {
  return [...elsewhere(input), ...leftOut(input), ...sasldb(input), ...otherServers(input)];
}

function elsewhere({ roots, filesystems }: ConfigInput): Check[] {
  const checks: Check[] = [];
  const placeOf = (path: ByteString) => filesystems.find(({ paths }) => paths.includes(path))?.place;
  const mailRoots = roots.filter((root) => holdsMailboxes(root));
  for (const meta of mailRoots.filter(({ kind }) => kind === "metapartition")) {
    const partition = meta.name.slice(meta.name.indexOf("-") + 1);
    const data = mailRoots.find(
      ({ kind, name }) => kind === "partition" && (name === meta.name || name === partition),
    );
    if (data === undefined || placeOf(meta.realPath) === placeOf(data.realPath)) continue;
    checks.push({
      code: "metapartition-elsewhere",
      severity: "note",
      path: toText(meta.path),
      message: `indexes and other small files of partition ${toText(data.name)} lie on another filesystem: ${toText(meta.path)}, messages in ${toText(data.path)}. A backup holds both`,
      advice: "freeze both at the same moment: stop Cyrus while the snapshots are made",
    });
  }
  const places = new Set(
    roots
      .filter((root) => root.kind === "config" || holdsMailboxes(root))
      .map(({ realPath }) => placeOf(realPath)),
  );
  if (places.size > 1) {
    checks.push({
      code: "several-filesystems",
      severity: "note",
      message: `the server lies on ${places.size} filesystems: snapshots made one after the other do not fit together while mail flows`,
      advice:
        "stop Cyrus while they are made; what the storage can freeze in one step (datasets of one ZFS pool) needs no stop",
    });
  }
  return checks;
}

function leftOut({ layout, roots }: ConfigInput): Check[] {
  const checks: Check[] = layout.unknownLocations.map(({ key, value, reason }) => ({
    code: "config-unknown-location",
    severity: "warning",
    path: toText(value),
    message: `${key}: ${toText(value)}: ${reason}`,
    advice: `if mail or state lies there, give --include ${toText(value)}`,
  }));
  if (layout.sieveUseHomeDir) {
    checks.push({
      code: "sieve-in-homes",
      severity: "warning",
      message:
        "sieveusehomedir is on: sieve scripts lie in the users' home directories, which no backup of the server holds",
      advice: "back up the homes, or give --include for them",
    });
  }
  const isCovered = (path: ByteString) => roots.some((root) => isWithin(normalise(path), root.path));
  for (const { key, path, role } of layout.otherPaths) {
    if (key === SASLDB_OPTION) continue;
    if ((role !== "secret" && role !== "site-file" && role !== "news") || isCovered(path)) continue;
    checks.push({
      code: "config-unknown-location",
      severity: "note",
      path: toText(path),
      message: `${key} names ${toText(path)}, which is not part of a backup`,
      advice: `--include ${toText(path)} keeps it`,
    });
  }
  for (const { path } of layout.searchPartitions.filter((one) => !isCovered(one.path))) {
    checks.push({
      code: "search-left-out",
      severity: "note",
      path: toText(path),
      message: `${toText(path)} holds search indexes, which Cyrus can make again from the mail`,
      advice: "--with-search keeps them",
    });
  }
  return checks;
}

function sasldb({ conf, roots, exists }: ConfigInput): Check[] {
  const named = conf.entries.get(SASLDB_OPTION)?.value;
  const path = named?.startsWith("/") ? named : ("/etc/sasldb2" as ByteString);
  const isCovered = roots.some((root) => isWithin(normalise(path), root.path));
  if (!isCovered && !exists(path)) return [];
  return [
    {
      code: "sasldb",
      severity: isCovered ? "ok" : "warning",
      path: toText(path),
      message: isCovered
        ? `${toText(path)} (passwords of users, as SASL keeps them) is part of a backup`
        : `${toText(path)} (passwords of users, as SASL keeps them) is not part of a backup`,
      ...(isCovered ? {} : { advice: `give --include ${toText(path)}` }),
    },
  ];
}

/** Services override options under their own prefix, and channels of replication have names. */
const SYNC_HOST = /^(.+_)?sync_host$/;

function otherServers({ conf, cyrusConf }: ConfigInput): Check[] {
  const checks: Check[] = [];
  for (const [key, { value }] of conf.entries) {
    if (!SYNC_HOST.test(key)) continue;
    checks.push({
      code: "replication",
      severity: "note",
      message: `this server is replicated to ${toText(value)} (${key})`,
      advice: "back up the replica: it can be stopped for as long as it takes, and no user notices",
    });
  }
  const replica = cyrusConf.find(
    ({ section, command }) => section === "SERVICES" && /(^|\/|\s)sync_server(\s|$)/.test(command),
  );
  if (replica !== undefined) {
    checks.push({
      code: "replica",
      severity: "note",
      message: `sync_server listens here (cyrus.conf SERVICES ${replica.name}): this may be a replica`,
      advice: "if it is one, it is the one to stop and back up; see that it keeps up with its master",
    });
  }
  const murder = ["mupdate_server", "proxyservers"].find((key) => conf.entries.has(key));
  if (murder !== undefined) {
    checks.push({
      code: "murder",
      severity: "note",
      message: `${murder} is set: this server belongs to a Murder`,
      advice:
        "each backend needs a backup of its own, and so does the list of the mupdate master; before a restored backend starts, read what `ctl_mboxlist -m -w` says",
    });
  }
  return checks;
}
