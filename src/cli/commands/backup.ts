import { hostname } from "node:os";
import { resolve } from "node:path";
import type { BackupOptions, BackupResult } from "../../backup/options.ts";
import { planBackup } from "../../backup/plan.ts";
import { runBackup } from "../../backup/run.ts";
import { fromText, toText } from "../../base/byte-string.ts";
import { type Clock, systemClock } from "../../base/clock.ts";
import { compileLater } from "../../base/compile-later.ts";
import { CyrvaultError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { keepMemorySmall } from "../../base/posix-memory.ts";
import { readAcceptRules } from "../../inspect/accepted.ts";
import type { ManifestRoot } from "../../manifest/model.ts";
import { liveHost } from "../../source/host/live-host.ts";
import { mastersElsewhere } from "../../source/host/running-master.ts";
import { describeServer } from "../../source/server.ts";
import { parseMapping, SourceView } from "../../source/view.ts";
import type { Compression } from "../../store/codec.ts";
import { isHere } from "../../store/stale-run.ts";
import { BACKUP_MODES, parseMode } from "../backup-mode.ts";
import { backupObject, isRestricted, planText, printResult } from "../backup-result.ts";
import { collect, example, type Register } from "../command.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { addFilterOptions, type FilterGiven, filterOptions, parseOnly } from "../filter-options.ts";
import {
  type LiveParts,
  type LiveReport,
  liveLines,
  livePlan,
  requireLiveUsage,
  withLive,
} from "../live-mode.ts";
import { parseLockWait, withLockWait } from "../lock-wait.ts";
import {
  addNeighbourOptions,
  freeBytesAt,
  type NeighbourGiven,
  neighbourOptions,
  requirePriority,
  uploadLimit,
} from "../neighbour-options.ts";
import { parseBytes } from "../parse-size.ts";
import { refreshRecoveryFolder } from "../recovery-folder.ts";
import type { Session } from "../session.ts";
import { addSnapshotOptions, type SnapshotGiven, viewInput, viewPlan } from "../snapshot-options.ts";
import { requireSnapshotUsage } from "../snapshot-usage.ts";
import { type RunStatus, withStatusFile } from "../status-file.ts";
import { type FirstPassReport, forTwoPasses, passLines, withTwoPasses } from "../two-pass.ts";
import { type CutParts, type CutResult, viewLines, viewObject, withCut } from "../with-cut.ts";

interface Options extends NeighbourGiven, SnapshotGiven, FilterGiven {
  readonly config?: string;
  readonly root: string;
  readonly map?: readonly string[];
  readonly server?: string;
  readonly include?: readonly string[];
  readonly excludeMailbox?: readonly string[];
  readonly withoutDerivable?: boolean;
  readonly withSearch?: boolean;
  readonly compression: string;
  readonly scrub?: string;
  readonly checkpointInterval?: string;
  readonly checkpointBytes?: string;
  /** `snapshot` if undefined. */
  readonly mode?: string;
  readonly lockWait?: string;
  readonly statusFile?: string;
  readonly dryRun?: boolean;
}

type Taken = Partial<CutResult<BackupResult>> & {
  readonly result: BackupResult;
  readonly live?: LiveReport;
  readonly firstPass?: FirstPassReport;
};

const CHECKPOINT_MS = 5 * 60_000;
const CHECKPOINT_BYTES = 4 * 1024 ** 3;

export const registerBackup: Register = (program, act) => {
  const command = program
    .command("backup")
    .description("back up a Cyrus server, from a snapshot that is taken for it or is there already")
    .optionsGroup("The server:")
    .option("--config <imapd.conf>", "the server's configuration (default: /etc/imapd.conf)")
    .option("--root <dir>", "where the frozen snapshot is mounted: every path is looked up below it", "/")
    .option("--map <from=to>", "one path prefix lies elsewhere; may be given several times", collect)
    .option(
      "--server <name>",
      "whose backup this is (default: servername of imapd.conf, else this host's name)",
    )
    .optionsGroup("The run:")
    .option("-n, --dry-run", "say what would be read; reads no message and stores nothing")
    .option("--compression <level>", "fast, auto or max", "auto")
    .option(
      "--scrub <share>",
      "read messages again although nothing seems to have changed: all, or a share as 1/30",
    )
    .option(
      "--checkpoint-interval <time>",
      "after an interruption, at most so much is done again: 30s, 5m, 1h (default: 5m)",
    )
    .option("--checkpoint-bytes <size>", "the same, by what is read: 500M, 4G (default: 4G)")
    .option("--lock-wait <time>", "wait so long for another backup of this server: 30s, 5m, 2h")
    .option("--status-file <file>", "JSON about this run for a monitoring agent, also after a failure")
    .optionsGroup("How it comes to one moment:")
    .option("--mode <mode>", BACKUP_MODES.join(", "), "snapshot")
    .addHelpText(
      "after",
      example(
        "cyrvault backup --repo /backup/cyrus --snapshot lvm --quiesce stop",
        "cyrvault backup --repo /backup/cyrus --root /mnt/snapshot",
        "cyrvault backup --repo /backup/cyrus --root /mnt/root --map /var/spool/cyrus=/mnt/spool",
      ),
    );
  addSnapshotOptions(command);
  command
    .optionsGroup("What is kept:")
    .option("--include <path>", "a further file or directory; may be given several times", collect)
    .option("--exclude-mailbox <pattern>", "as in IMAP LIST; may be given several times", collect)
    .option("--without-derivable", "leave out what Cyrus can make again (cyrus.cache, conversations, dav.db)")
    .option("--with-search", "keep the search indexes");
  addFilterOptions(command);
  command.optionsGroup("A good neighbour:");
  addNeighbourOptions(command);
  act<Options>(command, async (session, _args, asGiven) => {
    keepMemorySmall();
    compileLater();
    const mode = parseMode(asGiven.mode);
    if (mode === "live") requireLiveUsage(asGiven);
    const given = mode === "two-pass" ? forTwoPasses(asGiven) : asGiven;
    requireSnapshotUsage(mode, given);
    requirePriority(given);
    if (given.dryRun === true) return await dryRun(session, given, backupOptions(given, session.clock));
    return await withStatusFile(session, given.statusFile, async (status) => {
      const options = backupOptions(given, session.clock);
      return await backUp(session, given, options, status);
    });
  });
};

async function backUp(
  session: Session,
  given: Options,
  options: BackupOptions,
  status: RunStatus,
): Promise<ExitCode | undefined> {
  return await session.withRepository(
    "write",
    async (repository) => {
      const { clock, progress, output, json, log } = session;
      const server = options.server ?? serverName(options);
      status.server = server;
      warnOfOthers(options, log);
      const acceptRules = await readAcceptRules(repository, server);
      const here = isHere(hostname());
      const onCommitted = (root: ManifestRoot) => refreshRecoveryFolder(repository, log, root);
      const freeBytes = () => freeBytesAt(repository.backend.properties.localDirectory);
      const onUnreadable = (backup: string, { message }: CyrvaultError) =>
        session.log.warning(`backup ${backup} is damaged, and not built upon: ${message}`, {
          hint: "`cyrvault check` says what else is, `cyrvault repair` what can be done about it",
        });
      const context = {
        repository,
        clock,
        progress,
        acceptRules,
        here,
        onCommitted,
        onUnreadable,
        freeBytes,
      };
      const make = ({ source, ...parts }: Partial<CutParts & LiveParts>) =>
        session.withProgress(() => runBackup({ ...options, ...source, server }, { ...context, ...parts }));
      const inMode = async (): Promise<Taken> => {
        const parts = [session, given, options, server, repository] as const;
        switch (parseMode(given.mode)) {
          case "live":
            return await withLive(session, given, options, repository, make);
          case "two-pass":
            return await withTwoPasses(parts, context, make);
          case "snapshot":
            return await withCut(...parts, make);
        }
      };
      const taken = await withLockWait(session, parseLockWait(given.lockWait), inMode);
      const { result, view, problem, live, firstPass } = taken;
      Object.assign(status, { server: result.server, backup: result.backup });
      if (json)
        await output.object({
          ...backupObject(result),
          view: viewObject(view),
          ...(live === undefined ? {} : { live }),
          ...(firstPass === undefined ? {} : { firstPass }),
        });
      else
        await printResult(output, result, isRestricted(options), [
          ...(view === undefined ? [] : viewLines(view)),
          ...(live === undefined ? [] : liveLines(live)),
          ...(firstPass === undefined ? [] : passLines(firstPass)),
        ]);
      if (problem !== undefined) throw problem;
      return result.incomplete ? EXIT.incomplete : undefined;
    },
    { mayBeWriteOnly: true, wrapBackend: uploadLimit(given, session) },
  );
}

async function dryRun(session: Session, given: Options, options: BackupOptions): Promise<undefined> {
  const { clock, output, json } = session;
  await session.withRepository("read", async (repository) => {
    const { localDirectory } = repository.backend.properties;
    const cut =
      parseMode(given.mode) === "live"
        ? livePlan()
        : await viewPlan(
            viewInput(session, given, options, options.server ?? serverName(options), localDirectory),
          );
    const plan = await planBackup(options, { repository, clock });
    if (json) await output.object({ dryRun: true, ...plan, parent: plan.parent ?? null, view: cut });
    else await output.text([...cut.steps.map((step, at) => `${at + 1}. ${step}`), planText(plan)].join("\n"));
  });
}

export function backupOptions(given: Options, clock: Clock = systemClock): BackupOptions {
  return {
    config: given.config === undefined ? undefined : fromText(resolve(given.config)),
    root: fromText(resolve(given.root)),
    mappings: (given.map ?? []).map(parseMapping),
    server: given.server,
    includes: (given.include ?? []).map(fromText),
    excludeMailboxes: given.excludeMailbox ?? [],
    withoutDerivable: given.withoutDerivable === true,
    withSearch: given.withSearch === true,
    compression: parseCompression(given.compression),
    scrub: given.scrub === undefined ? 0 : parseShare(given.scrub),
    ...neighbourOptions(given, clock),
    filter: filterOptions(given),
    textDumps: given.textDumps === true,
    only: parseOnly(given),
    checkpointMs:
      given.checkpointInterval === undefined ? CHECKPOINT_MS : parseInterval(given.checkpointInterval),
    checkpointBytes:
      given.checkpointBytes === undefined ? CHECKPOINT_BYTES : parseBytes(given.checkpointBytes),
  };
}

/** `all`, `1/30`, `0.1`, `10%`. @throws {CyrvaultError} `USAGE`. */
export function parseShare(text: string, option = "--scrub"): number {
  if (text === "all") return 1;
  const fraction = /^(\d{1,9})\/(\d{1,9})$/.exec(text);
  const percent = /^(\d{1,3}(?:\.\d+)?)\s?%$/.exec(text);
  const share =
    fraction !== null
      ? Number(fraction[1]) / Number(fraction[2])
      : percent !== null
        ? Number(percent[1]) / 100
        : /^(?:[01]|0?\.\d+|1\.0+)$/.test(text)
          ? Number(text)
          : Number.NaN;
  if (share > 0 && share <= 1) return share;
  throw new CyrvaultError("USAGE", `${option} ${text}: not a share`, { hint: "write all, 1/30, 0.1 or 10%" });
}

const UNIT_MS = new Map([
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** `30s`, `5m`, `0.5h`; in ms. @throws {CyrvaultError} `USAGE`. */
export function parseInterval(text: string): number {
  const [, number, unit = ""] = /^(\d{1,6}(?:\.\d{1,3})?)([smh])$/.exec(text) ?? [];
  const ms = Number(number) * (UNIT_MS.get(unit) ?? Number.NaN);
  if (ms > 0) return ms;
  throw new CyrvaultError("USAGE", `--checkpoint-interval ${text}: not a time`, {
    hint: "write 30s, 5m or 1h",
  });
}

/** @throws {CyrvaultError} `USAGE`. */
export function parseCompression(text: string): Compression {
  if (text === "fast" || text === "auto" || text === "max") return text;
  throw new CyrvaultError("USAGE", `--compression ${text}: it is fast, auto or max`);
}

/** What the backup goes under when nobody says otherwise: needed before it begins, for what has been accepted. */
function serverName({ root, mappings, config, includes, withSearch }: BackupOptions): string {
  const { layout } = describeServer({ view: new SourceView(root, mappings), config, includes, withSearch });
  return layout.serverName === undefined ? hostname() : toText(layout.serverName);
}

/** Nobody has said which server is meant, and the one that runs here is another one. */
function warnOfOthers({ config, root, mappings }: BackupOptions, log: Logger): void {
  if (config !== undefined || root !== "/" || mappings.length > 0) return;
  const others = mastersElsewhere(liveHost().processes).map((one) => toText(one.config));
  if (others.length > 0)
    log.warning(
      `the Cyrus that runs here has another configuration than /etc/imapd.conf: ${others.join(", ")}`,
      {
        hint: "name the one that is meant with --config",
      },
    );
}
