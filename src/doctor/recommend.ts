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
}

/** A line for a shell. */
export function recommend({
  repository,
  config,
  isDefaultConfig,
  root,
  mappings,
  filesystems,
}: RecommendInput): string {
  const words = ["cyrvault backup", `--repo ${quote(repository ?? "REPOSITORY")}`];
  if (!isDefaultConfig) words.push(`--config ${quote(toText(config))}`);
  if (root !== "/" || mappings.length > 0) return [...words, ...placeOptions(root, mappings)].join(" ");
  const method = methodOfAll(filesystems);
  // Seconds of downtime with a snapshot, the whole of the backup without one.
  return [...words, ...(method === "none" ? [] : [`--snapshot ${method}`]), "--quiesce stop"].join(" ");
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
