/** The command that backs this server up: with a view of its own where its filesystems can give one, else with Cyrus stopped meanwhile. */
import { type ByteString, toText } from "../base/byte-string.ts";
import type { Filesystem, SnapshotMethod } from "../source/host/filesystems.ts";
import type { PathMapping } from "../source/view.ts";

export interface RecommendInput {
  readonly repository: string | undefined;
  readonly config: ByteString;
  readonly isDefaultConfig: boolean;
  readonly root: ByteString;
  readonly mappings: readonly PathMapping[];
  readonly filesystems: readonly Filesystem[];
  /** As its backups are kept under, where that was said. */
  readonly server?: string | undefined;
  /** undefined: the whole server. */
  readonly only?: "mailbox-list" | undefined;
  /** Of a first backup, at most; undefined: not known. */
  readonly seconds?: number | undefined;
  /** Cyrus runs, and no service of systemd's: somebody has to say how it is stopped. */
  readonly needsCommands?: boolean;
}

/** What `backup` takes for `--max-downtime`. */
const DOWNTIME_SECONDS_MAX = 300;
/** Ends a command in which STOP and START are to be replaced by whoever reads it. */
export const STOP_COMMANDS = "--stop-command STOP --start-command START";

/** A line for a shell. */
export function recommend({
  repository,
  config,
  isDefaultConfig,
  root,
  mappings,
  filesystems,
  server,
  only,
  seconds = 0,
  needsCommands = false,
}: RecommendInput): string {
  const words = ["cyrvault backup", `--repo ${quote(repository ?? "REPOSITORY")}`];
  if (!isDefaultConfig) words.push(`--config ${quote(toText(config))}`);
  if (server !== undefined) words.push(`--server ${quote(server)}`);
  if (root !== "/" || mappings.length > 0) return [...words, ...placeOptions(root, mappings)].join(" ");
  const method = methodOfAll(filesystems);
  const view = method === "none" ? [] : [`--snapshot ${method}`];
  // Nobody stops a server every hour for its list.
  if (only !== undefined)
    return [...words, `--only ${only}`, ...(method === "none" ? ["--mode live"] : view)].join(" ");
  const isLong = method === "none" && seconds > DOWNTIME_SECONDS_MAX;
  words.push(...view, isLong ? "--mode two-pass" : "--quiesce stop");
  return [...words, ...(needsCommands ? [STOP_COMMANDS] : [])].join(" ");
}

/** A view is taken in one way: `none` where they differ. */
function methodOfAll(filesystems: readonly Filesystem[]): SnapshotMethod {
  const [first] = filesystems;
  if (first === undefined || filesystems.some(({ method }) => method !== first.method)) return "none";
  return first.method;
}

function placeOptions(root: ByteString, mappings: readonly PathMapping[]): string[] {
  return [
    ...(root === "/" ? [] : [`--root ${quote(toText(root))}`]),
    ...mappings.map(({ from, to }) => `--map ${quote(`${toText(from)}=${toText(to)}`)}`),
  ];
}

function quote(word: string): string {
  return /^[\w./=:@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
