/** The commands that back this server up with what this version can do: a snapshot taken by hand, or a stop. */
import { type ByteString, toText } from "../base/byte-string.ts";
import type { Filesystem } from "../source/host/filesystems.ts";
import type { PathMapping } from "../source/view.ts";

export interface RecommendInput {
  readonly repository: string | undefined;
  readonly config: ByteString;
  readonly isDefaultConfig: boolean;
  readonly root: ByteString;
  readonly mappings: readonly PathMapping[];
  readonly filesystems: readonly Filesystem[];
}

const STOP = "systemctl stop cyrus-imapd";
const START = "systemctl start cyrus-imapd";

/** Lines for a shell. */
export function recommend(input: RecommendInput): string {
  const { root, mappings, filesystems } = input;
  if (root !== "/" || mappings.length > 0) return backup(input, placeOptions(root, mappings));
  if (filesystems.length === 0 || filesystems.some(({ method }) => method === "none"))
    return [STOP, backup(input, []), START].join("\n");
  const plans = filesystems.map((filesystem, at) => freeze(filesystem, at));
  const datasets = filesystems.filter(({ method }) => method === "zfs").map(({ mount }) => mount.source);
  return [
    STOP,
    ...zfsSnapshots(datasets),
    ...plans.flatMap(({ take }) => take),
    START,
    ...plans.flatMap(({ mount }) => mount),
    backup(
      input,
      plans.map(({ option }) => option),
    ),
    ...plans.flatMap(({ release }) => release),
  ].join("\n");
}

interface Freeze {
  readonly take: readonly string[];
  readonly mount: readonly string[];
  readonly option: string;
  readonly release: readonly string[];
}

function freeze({ place, mount, method, volume }: Filesystem, at: number): Freeze {
  const name = at === 0 ? "cyrvault" : `cyrvault${at + 1}`;
  const inside = (rest: string) =>
    toText(place === "/" ? (`/${rest}` as ByteString) : (`${place}/${rest}` as ByteString));
  if (method === "btrfs") {
    const view = inside(".cyrvault");
    return {
      take: [`btrfs subvolume snapshot -r ${quote(toText(place))} ${quote(view)}`],
      mount: [],
      option: option(place, view),
      release: [`btrfs subvolume delete ${quote(view)}`],
    };
  }
  if (method === "zfs") {
    return {
      take: [],
      mount: [],
      option: option(place, inside(".zfs/snapshot/cyrvault")),
      release: [`zfs destroy ${quote(`${toText(mount.source)}@cyrvault`)}`],
    };
  }
  const view = `/mnt/${name}`;
  const { group, name: origin } = volume ?? { group: "?", name: "?" };
  return {
    take: [`lvcreate --snapshot --name ${name} --extents 15%ORIGIN ${quote(`${group}/${origin}`)}`],
    mount: [
      `mkdir -p ${view} && mount -o ${mount.type === "xfs" ? "ro,nouuid" : "ro"} ${quote(`/dev/${group}/${name}`)} ${view}`,
    ],
    option: option(place, view),
    release: [`umount ${view} && lvremove -y ${quote(`${group}/${name}`)}`],
  };
}

/** One command for each pool: within a pool that is one moment. */
function zfsSnapshots(datasets: readonly ByteString[]): string[] {
  const pools = new Map<string, string[]>();
  for (const dataset of datasets) {
    const pool = dataset.split("/")[0] as string;
    pools.set(pool, [...(pools.get(pool) ?? []), quote(`${toText(dataset)}@cyrvault`)]);
  }
  return [...pools.values()].map((names) => `zfs snapshot ${names.join(" ")}`);
}

function option(place: ByteString, view: string): string {
  return place === "/" ? `--root ${quote(view)}` : `--map ${quote(`${toText(place)}=${view}`)}`;
}

function placeOptions(root: ByteString, mappings: readonly PathMapping[]): string[] {
  return [
    ...(root === "/" ? [] : [`--root ${quote(toText(root))}`]),
    ...mappings.map(({ from, to }) => `--map ${quote(`${toText(from)}=${toText(to)}`)}`),
  ];
}

function backup({ repository, config, isDefaultConfig }: RecommendInput, options: readonly string[]): string {
  const words = ["cyrvault backup", `--repo ${quote(repository ?? "REPOSITORY")}`];
  if (!isDefaultConfig) words.push(`--config ${quote(toText(config))}`);
  return [...words, ...options].join(" ");
}

function quote(word: string): string {
  return /^[\w./=:@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
