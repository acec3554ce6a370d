/** What lvs(8) and vgs(8) say of volumes. */
import { CyrvaultError } from "../base/errors.ts";
import { runOrThrow } from "./command.ts";
import type { SnapshotHost } from "./host.ts";

export interface LogicalVolume {
  /** lvs(8): ten characters; the fifth is the state, the ninth the health. */
  readonly attributes: string;
  readonly bytes: number;
  /** The pool of a thin volume, in the same group. */
  readonly pool: string | undefined;
  /** Of a snapshot or pool: how full. */
  readonly dataPercent: number | undefined;
  readonly metadataPercent: number | undefined;
}

const FIELDS = ["lv_attr", "lv_size", "pool_lv", "data_percent", "metadata_percent"] as const;

/** @throws {CyrvaultError} `SNAPSHOT_FAILED`. */
export async function readLogicalVolume(
  host: Pick<SnapshotHost, "run">,
  group: string,
  name: string,
): Promise<LogicalVolume> {
  const volume = `${group}/${name}`;
  const text = await report(host, "lvs", FIELDS, volume);
  const [attributes = "", size = "", pool = "", data = "", metadata = ""] = text;
  const bytes = Number(size);
  if (attributes.length < 6 || !(bytes > 0)) throw unreadable("lvs", volume);
  return {
    attributes,
    bytes,
    pool: pool === "" ? undefined : pool,
    dataPercent: percent(data),
    metadataPercent: percent(metadata),
  };
}

/** @throws {CyrvaultError} `SNAPSHOT_FAILED`. */
export async function readFreeBytes(host: Pick<SnapshotHost, "run">, group: string): Promise<number> {
  const [free = ""] = await report(host, "vgs", ["vg_free"], group);
  const bytes = Number(free);
  if (free === "" || !(bytes >= 0)) throw unreadable("vgs", group);
  return bytes;
}

/** `swi-I-s---`: more was written than it had room for, and it holds nothing any more. Health `F`, `D`, `M`: a pool that failed or is full. */
export function isLost({ attributes }: Pick<LogicalVolume, "attributes">): boolean {
  return "IS".includes(attributes[4] ?? "-") || "FDM".includes(attributes[8] ?? "-");
}

async function report(
  host: Pick<SnapshotHost, "run">,
  program: "lvs" | "vgs",
  fields: readonly string[],
  what: string,
): Promise<string[]> {
  const argv = [
    program,
    "--noheadings",
    "--units",
    "b",
    "--nosuffix",
    "--separator",
    "|",
    "--options",
    fields.join(","),
    what,
  ];
  const text = await runOrThrow(host, `cannot ask LVM about ${what}`, argv);
  const [line = ""] = text.split("\n").filter((one) => one.includes("|") || fields.length === 1);
  return line.trim().split("|");
}

function percent(text: string): number | undefined {
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

function unreadable(program: string, what: string): CyrvaultError {
  return new CyrvaultError("SNAPSHOT_FAILED", `cannot read what ${program} says of ${what}`);
}
