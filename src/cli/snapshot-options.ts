/** `--snapshot`: how the view is taken that a backup reads, and everything that goes with it. */
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { BackupOptions } from "../backup/options.ts";
import { type ByteString, fromText } from "../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { runDoctor } from "../doctor/run.ts";
import type { SnapshotHost } from "../snapshot/host.ts";
import { Journal, type JournalOptions, stateDirectory } from "../snapshot/journal.ts";
import { journalFile } from "../snapshot/journal-file.ts";
import { liveSnapshotHost, startedBy } from "../snapshot/live-snapshot-host.ts";
import type { Provider } from "../snapshot/method.ts";
import { placesOf, snapshotStamp } from "../snapshot/places.ts";
import { BtrfsProvider } from "../snapshot/provider-btrfs.ts";
import { CommandProvider } from "../snapshot/provider-command.ts";
import { LvmProvider, MOUNTS_BELOW } from "../snapshot/provider-lvm.ts";
import { NoneProvider } from "../snapshot/provider-none.ts";
import { ZfsProvider } from "../snapshot/provider-zfs.ts";
import { planView, type ViewInput } from "../snapshot/take-view.ts";
import { liveHost } from "../source/host/live-host.ts";
import { describeServer } from "../source/server.ts";
import { SourceView } from "../source/view.ts";
import { parseBytes } from "./parse-size.ts";
import { addQuiesceOptions, type QuiesceGiven, quiesceOf } from "./quiesce-options.ts";
import type { Session } from "./session.ts";

export interface SnapshotGiven extends QuiesceGiven {
  readonly snapshot?: string;
  readonly allowTorn?: boolean;
  readonly snapshotSize?: string;
  readonly snapshotSameVolume?: boolean;
  readonly snapshotCommand?: string;
  readonly snapshotRemove?: string;
  readonly stateDir?: string;
}

const KINDS = ["none", "lvm", "btrfs", "zfs", "command"] as const;
type Kind = (typeof KINDS)[number];

const POLL_MS = 5000;
const SHARE = 0.15;
const RECOMMENDED_INTERVAL_SECONDS = 86_400;

export function addSnapshotOptions(command: Command): Command {
  command
    .option("--snapshot <kind>", `take the view to read from: ${KINDS.join(", ")}`, "none")
    .option("--allow-torn", "read the tree although Cyrus runs on it; the backup says so")
    .option("--snapshot-size <size>", "of an LVM snapshot that is not thin: 20G, or a share (default: 15%)")
    .option("--snapshot-same-volume", "although repository or cache lie on the volume that is frozen")
    .option("--snapshot-command <command>", "makes the view and prints FROM=TO lines (--snapshot command)")
    .option("--snapshot-remove <command>", "takes that view away again, however far it came")
    .option("--state-dir <dir>", "where it is written down what is held, in case we die");
  return addQuiesceOptions(command);
}

/**
 * What a view of this server takes. Nothing is changed yet.
 * @param server - as its backups are kept under. @throws {CyrvaultError} `USAGE`, and what `describeServer` throws.
 */
export function viewInput(
  session: Session,
  given: SnapshotGiven,
  options: BackupOptions,
  server: string,
  repositoryDirectory: string | undefined,
): Omit<ViewInput, "hurry"> {
  const { log, signal } = session;
  const kind = parseKind(given);
  const { root, mappings, config, includes, withSearch } = options;
  const view = new SourceView(root, mappings);
  if (kind !== "none" && view.isMapped)
    throw new CyrvaultError(
      "USAGE",
      `--snapshot ${kind}: --root and --map say where a view lies that is there already`,
    );
  const described = describeServer({ view, config, includes, withSearch });
  const directory = stateDirectoryOf(session, given);
  const journal = { directory: directory ?? "", server, hostFor: liveSnapshotHost, startedBy, log };
  const mark = directory === undefined ? "" : journalFile(directory, server);
  const host = liveSnapshotHost(mark);
  const quiesceName = given.quiesce ?? "none";
  const provider = providerOf(kind, given, host, () => ({
    view,
    configPath: described.configPath,
    allowTorn: given.allowTorn === true,
    isHeldStill: quiesceName !== "none",
    advice: () => recommended(session, options),
  }));
  const ours = [repositoryDirectory, session.cacheDirectory].flatMap((path) =>
    path === undefined ? [] : [fromText(resolve(path))],
  );
  return {
    provider,
    quiesce: quiesceOf(given, {
      host,
      mark,
      config: described.configPath,
      provider,
      stateDirectory: directory,
      log,
    }),
    // The holes below the roots are looked for where a view is to be taken of each; otherwise nothing is listed for it.
    places:
      kind === "none" && quiesceName === "none"
        ? {
            roots: described.roots.filter(({ kind }) => kind !== "file").map(({ realPath }) => realPath),
            ours,
          }
        : placesOf(view, described, host.facts(), ours),
    openHoldings: () => openJournal(journal, directory),
    log,
    signal,
    pollMs: POLL_MS,
  };
}

/** What runs that died have left is given back by any other. @param but - a server whose holdings are opened anyway. */
export async function recoverViews(session: Session, given: SnapshotGiven, but?: string): Promise<void> {
  const directory = stateDirectoryOf(session, given);
  if (directory === undefined) return;
  const { log } = session;
  await Journal.recoverAll({
    directory,
    hostFor: liveSnapshotHost,
    startedBy,
    log,
    ...(but === undefined ? {} : { but }),
  });
}

/** What `--dry-run` says of it. */
export async function viewPlan(
  input: Parameters<typeof planView>[0],
): Promise<{ readonly snapshot: string; readonly quiesce: string; readonly steps: readonly string[] }> {
  return { snapshot: input.provider.name, quiesce: input.quiesce.name, steps: await planView(input) };
}

function openJournal(options: JournalOptions, directory: string | undefined): Promise<Journal> {
  if (directory !== undefined) return Journal.open(options);
  throw new CyrvaultError("USAGE", "it is not known where to write down what is held", {
    hint: "give --state-dir, or set $CYRVAULT_STATE_DIR",
  });
}

function stateDirectoryOf({ terminal }: Session, { stateDir }: SnapshotGiven): string | undefined {
  return stateDir === undefined ? stateDirectory(terminal.env, process.geteuid?.() === 0) : resolve(stateDir);
}

function parseKind(given: SnapshotGiven): Kind {
  const text = given.snapshot ?? "none";
  const kind = KINDS.find((known) => known === text);
  if (kind === undefined) {
    throw new CyrvaultError("USAGE", `--snapshot ${text}: it is ${KINDS.join(", ")}`);
  }
  return kind;
}

function providerOf(
  kind: Kind,
  given: SnapshotGiven,
  host: SnapshotHost,
  none: () => ConstructorParameters<typeof NoneProvider>[0],
): Provider {
  const stamp = snapshotStamp(host.nowMs(), randomBytes(2).toString("hex"));
  switch (kind) {
    case "none":
      return new NoneProvider(none(), liveHost);
    case "lvm": {
      const sameVolume = given.snapshotSameVolume === true;
      const size = parseSnapshotSize(given.snapshotSize);
      return new LvmProvider({ size, sameVolume, stamp, mountsBelow: MOUNTS_BELOW }, host);
    }
    case "btrfs":
      return new BtrfsProvider(host, stamp);
    case "zfs":
      return new ZfsProvider(host, stamp);
    case "command": {
      const { snapshotCommand: make, snapshotRemove: remove } = given;
      if (make !== undefined && remove !== undefined)
        return new CommandProvider({ make, remove, stamp, writesOut: isStill(given) }, host);
      throw new CyrvaultError("USAGE", "--snapshot command needs --snapshot-command and --snapshot-remove", {
        hint: "where there is nothing to take away, say: --snapshot-remove true",
      });
    }
  }
}

/** By freezing, the filesystems themselves see to what that means for the view. */
function isStill({ quiesce }: SnapshotGiven): boolean {
  return quiesce === "stop" || quiesce === "withlock";
}

/** @throws {CyrvaultError} `USAGE`. */
export function parseSnapshotSize(
  text: string | undefined,
): { readonly bytes: number } | { readonly share: number } {
  if (text === undefined) return { share: SHARE };
  const percent = /^(\d{1,3})\s?%$/.exec(text)?.[1];
  if (percent === undefined) return { bytes: parseBytes(text, "--snapshot-size") };
  if (Number(percent) >= 1 && Number(percent) <= 100) return { share: Number(percent) / 100 };
  throw new CyrvaultError("USAGE", `--snapshot-size ${text}: it is a share of the volume from 1% to 100%`);
}

/** The doctor's command; what keeps it from telling is not asked for here. */
function recommended(session: Session, { config, server, only }: BackupOptions): string | undefined {
  try {
    const { command } = runDoctor(
      {
        config,
        server,
        only,
        root: "/" as ByteString,
        mappings: [],
        intervalSeconds: RECOMMENDED_INTERVAL_SECONDS,
        repository: session.namedLocation,
        repositoryDirectory: undefined,
        secretFile: undefined,
      },
      liveHost(),
    );
    return command ?? undefined;
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    return undefined;
  }
}
