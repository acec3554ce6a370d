/** What a backup of this server would cover, what it would not, and how it is best taken. Changes nothing. */
import { type ByteString, fromText, toText } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { describeFilesystem, type Filesystem, filesystemsOf } from "../source/host/filesystems.ts";
import type { HostFacts } from "../source/host/host-facts.ts";
import { lookBelow } from "../source/host/look-below.ts";
import { type Mount, mountOf, parseMounts } from "../source/host/mounts.ts";
import { type RunningMaster, runningMasters } from "../source/host/running-master.ts";
import { serviceOfCgroup } from "../source/host/service-of-cgroup.ts";
import { describeServer, type ServerDescription } from "../source/server.ts";
import { normalise, type PathMapping, parentOf, SourceView } from "../source/view.ts";
import type { Check, CheckCode } from "./check.ts";
import { type Estimate, estimateFrom } from "./estimate.ts";
import { judgeConfig } from "./judge-config.ts";
import { judgeHoles } from "./judge-holes.ts";
import { judgeProcesses } from "./judge-processes.ts";
import { judgeSchedule } from "./judge-schedule.ts";
import { judgeRepository, judgeSnapshots, type Lair } from "./judge-storage.ts";
import { lookAtDatabases, lookAtMailboxList, takeCensus } from "./mailbox-census.ts";
import { readSchedule } from "./read-schedule.ts";
import { recommend } from "./recommend.ts";

export interface DoctorOptions {
  /** Undefined: that of the running Cyrus, else /etc/imapd.conf. */
  readonly config: ByteString | undefined;
  readonly root: ByteString;
  readonly mappings: readonly PathMapping[];
  /** Between two backups. */
  readonly intervalSeconds: number;
  /** As named on the command line. */
  readonly repository: string | undefined;
  /** Where it is a directory of this machine: absolute. It need not exist. */
  readonly repositoryDirectory: ByteString | undefined;
  readonly server?: string | undefined;
  /** undefined: the whole server. */
  readonly only?: "mailbox-list" | undefined;
  /** A password or key file that the command was given. */
  readonly secretFile: string | undefined;
}

export interface DoctorReport {
  readonly config: string | null;
  readonly checks: readonly Check[];
  readonly covered: readonly { readonly kind: string; readonly name: string; readonly path: string }[];
  readonly notCovered: readonly { readonly path: string | null; readonly reason: string }[];
  readonly filesystems: readonly object[];
  readonly estimate: Estimate | null;
  readonly command: string | null;
}

const DEFAULT_CONFIG = fromText("/etc/imapd.conf");

/** @throws {CyrvaultError} `CONFIG_INVALID` where no configuration can be read. */
export function runDoctor(options: DoctorOptions, facts: HostFacts): DoctorReport {
  const view = new SourceView(options.root, options.mappings);
  const masters = runningMasters(facts.processes);
  const config = options.config ?? masters[0]?.config;
  const secret = judgeSecret(options.secretFile);
  let server: ServerDescription;
  try {
    server = describeServer({ view, config, includes: [], withSearch: false, mountPoints: [] });
  } catch (error) {
    if (!isCyrvaultError(error, "SOURCE_INVALID") && !isCyrvaultError(error, "IO")) throw error;
    const refused: Check = {
      code: "roots-refused",
      severity: "error",
      message: `a backup would stop here: ${error.message}`,
      ...(error.hint === undefined ? {} : { advice: error.hint }),
    };
    return {
      config: config === undefined ? null : toText(config),
      checks: [refused, ...secret],
      covered: [],
      notCovered: [],
      filesystems: [],
      estimate: null,
      command: null,
    };
  }

  const { conf, layout, roots, configPath } = server;
  const { isMapped } = view;
  const ours = masters.filter((master) => normalise(master.config) === configPath);
  const mounts = parseMounts(facts.mountInfo);
  const holes = judgeHoles({
    roots,
    mounts,
    below: lookBelow(view, roots),
    mappings: view.mappings,
    isMapped,
  });
  const directories = roots.filter(({ kind }) => kind !== "file" && kind !== "include");
  const places = [
    ...directories.map(({ realPath }) => realPath),
    ...holes.places.map((path) => view.locate(path)),
  ];
  const filesystems = filesystemsOf(places, mounts, facts);
  const schedule = readSchedule(view, configPath, ours[0]?.cyrusConf, facts);
  const list = lookAtMailboxList(view, layout);
  const estimate =
    list.entries === undefined ? undefined : estimateFrom(takeCensus(view, layout, list.entries));
  const owner = ownerOf(view, layout.configDirectory, facts);

  const checks = [
    ...judgeMasters(options.config, masters, ours),
    ...holes.checks,
    ...judgeConfig({
      conf,
      layout,
      roots,
      filesystems,
      cyrusConf: schedule.cyrusConf,
      exists: (path) => view.resolve(normalise(path)) !== undefined,
    }),
    ...judgeProcesses({
      facts,
      masters: ours,
      others: masters.filter((master) => !ours.includes(master)),
      owner,
      roots,
      layout,
      isMapped,
    }),
    ...lookAtDatabases(view, layout),
    ...list.checks,
    ...schedule.checks,
    ...judgeSchedule(schedule.commands, layout, options.intervalSeconds),
    ...(isMapped ? [] : judgeSnapshots(filesystems, facts)),
    ...repositoryChecks(options.repositoryDirectory, filesystems, mounts, facts, estimate),
    ...secret,
  ];
  return {
    config: toText(configPath),
    checks,
    covered: roots.map(({ kind, name, path }) => ({ kind, name: toText(name), path: toText(path) })),
    notCovered: checks.filter(isGap).map(({ path, message }) => ({ path: path ?? null, reason: message })),
    filesystems: filesystems.map(describeFilesystem),
    estimate: estimate ?? null,
    command: recommend({
      repository: options.repository,
      config: options.config ?? configPath,
      isDefaultConfig: options.config === undefined && configPath === DEFAULT_CONFIG,
      root: view.root,
      mappings: view.mappings,
      filesystems,
      server: options.server,
      only: options.only,
      seconds: estimate?.firstBackupSeconds.high,
      needsCommands: ours.some(({ pid }) => isOutsideServices(facts, pid)),
    }),
  };
}

/**
 * Whose processes belong to the server. Nobody's in a snapshot, which says nothing about who runs here; nor ours: among them is
 * whatever else this user does.
 */
function ownerOf(view: SourceView, configDirectory: ByteString, facts: HostFacts): number | undefined {
  const place = view.isMapped ? undefined : view.resolve(configDirectory)?.realPath;
  const uid = place === undefined ? undefined : facts.stat(place)?.uid;
  return uid === facts.uid ? undefined : uid;
}

/** Not where that cannot be seen. */
function isOutsideServices(facts: HostFacts, pid: number): boolean {
  const cgroup = facts.run("cat", [`/proc/${pid}/cgroup`]);
  return cgroup !== undefined && serviceOfCgroup(cgroup) === undefined;
}

const GAPS: readonly CheckCode[] = [
  "hole-mount",
  "hole-subvolume",
  "hole-symlink",
  "open-outside",
  "config-unknown-location",
  "sieve-in-homes",
  "search-left-out",
  "sasldb",
];

function isGap({ code, severity }: Check): boolean {
  return GAPS.includes(code) && severity !== "ok" && !(code === "hole-symlink" && severity === "note");
}

function judgeMasters(
  given: ByteString | undefined,
  masters: readonly RunningMaster[],
  ours: readonly RunningMaster[],
): Check[] {
  const describe = ({ pid, config }: RunningMaster) => `${toText(config)} (process ${pid})`;
  if (given === undefined && masters.length > 1) {
    return [
      {
        code: "several-masters",
        severity: "warning",
        message: `several Cyrus servers run here, with ${masters.map(describe).join(", ")}; this is about the first`,
        advice: "ask about each with --config, and back up each under a --server name of its own",
      },
    ];
  }
  if (given === undefined || masters.length === 0 || ours.length > 0) return [];
  return [
    {
      code: "config-other-server",
      severity: "note",
      message: `the Cyrus that runs here has another configuration: ${masters.map(describe).join(", ")}`,
      advice: "without --config, this is about the one that runs",
    },
  ];
}

function judgeSecret(file: string | undefined): Check[] {
  if (file === undefined) return [];
  return [
    {
      code: "key-only-here",
      severity: "note",
      path: file,
      message: `${file} opens the repository, and lies on the machine whose loss the backups are for`,
      advice: "keep the password, or a paper key (`cyrvault key export`), in a second place too",
    },
  ];
}

function repositoryChecks(
  directory: ByteString | undefined,
  filesystems: readonly Filesystem[],
  mounts: readonly Mount[],
  facts: HostFacts,
  estimate: Estimate | undefined,
): Check[] {
  if (directory === undefined) return [];
  // Before `init` there is only the place above it.
  let existing = directory;
  while (existing !== "/" && facts.stat(existing) === undefined) existing = parentOf(existing);
  const lairOf = (path: ByteString): Lair[] => {
    const stat = facts.stat(path);
    const mount = mountOf(path, mounts);
    const disks = mount === undefined ? [] : facts.disksOf(mount.source);
    return stat === undefined ? [] : [{ path, device: stat.device, disks }];
  };
  const [repository] = lairOf(existing);
  if (repository === undefined) return [];
  const server = filesystems.flatMap(({ paths }) => paths).flatMap(lairOf);
  return judgeRepository({ ...repository, path: directory }, server, facts.space(existing), estimate);
}
