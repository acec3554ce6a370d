/** The parameters that are tried, and the studies that vary one of them. */
import { ATTACHMENT_CUTS, type CutSizes } from "../../src/chunker/fastcdc.ts";
import { DEFAULT_SPLIT_PARAMETERS } from "../../src/chunker/split-parameters.ts";
import { BLOCK_BYTES_TARGET } from "../../src/store/pack-types.ts";
import { TEXT_PART_BYTES_MAX } from "../../src/store/part-lane.ts";

export interface LaneCodec {
  readonly codec: "brotli" | "deflate";
  readonly level: number;
}

export interface Variant {
  readonly name: string;
  readonly partBytesMin: number;
  /** Bodies that are no base64 become parts from here on. */
  readonly textBytesMin: number;
  readonly decodedBytesMin: number;
  readonly wholePartBytesMax: number;
  readonly cuts: CutSizes;
  readonly blockBytes: number;
  readonly layout: "heads first" | "message by message";
  readonly textCodec: LaneCodec;
  readonly partCodec: LaneCodec;
  /** Which parts go among the texts: those that were no base64, those that look like text up to a size, or none. */
  readonly textParts: "none" | "no base64" | { readonly bytesMax: number };
  /** From which size on a sample of a part decides whether it is compressed; undefined: always. */
  readonly dense: { readonly bytesMin: number; readonly sampleBytes: number } | undefined;
}

const KIB = 1024;
const MIB = 1024 * 1024;
const NEVER = Number.MAX_SAFE_INTEGER;

const { partBytesMin, textBytesMin, decodedBytesMin, wholePartBytesMax } = DEFAULT_SPLIT_PARAMETERS;

const BASE: Variant = {
  name: "",
  partBytesMin,
  textBytesMin,
  decodedBytesMin,
  wholePartBytesMax,
  cuts: ATTACHMENT_CUTS,
  blockBytes: BLOCK_BYTES_TARGET,
  layout: "heads first",
  textCodec: { codec: "brotli", level: 4 },
  partCodec: { codec: "brotli", level: 1 },
  textParts: { bytesMax: TEXT_PART_BYTES_MAX },
  dense: { bytesMin: 16 * KIB, sampleBytes: 16 * KIB },
};

function vary<T>(values: readonly T[], make: (value: T) => Partial<Variant> & { name: string }): Variant[] {
  return values.map((value) => ({ ...BASE, ...make(value) }));
}

const CODECS: readonly LaneCodec[] = [
  ...[1, 2, 3, 4, 5].map((level) => ({ codec: "brotli", level }) as const),
  ...[1, 6].map((level) => ({ codec: "deflate", level }) as const),
];

function codecName({ codec, level }: LaneCodec): string {
  return `${codec}-${level}`;
}

export const STUDIES: Readonly<Record<string, readonly Variant[]>> = {
  parts: vary([1, 2, 4, 8, 16, 32], (kib) => ({
    name: `all parts from ${kib} KiB`,
    partBytesMin: kib * KIB,
    textBytesMin: kib * KIB,
  })),
  attachments: vary([1, 2, 4, 8, 16, 32], (kib) => ({
    name: `attachments from ${kib} KiB`,
    partBytesMin: kib * KIB,
  })),
  texts: [
    ...vary([2, 4, 8, 16, 32, 64], (kib) => ({
      name: `texts from ${kib} KiB`,
      textBytesMin: kib * KIB,
    })),
    { ...BASE, name: "texts never", textBytesMin: NEVER },
  ],
  lanes: [
    ...vary(["none", "no base64"] as const, (textParts) => ({ name: `texts: ${textParts}`, textParts })),
    ...vary([32, 64, 128, 256], (kib) => ({
      name: `what looks like text, up to ${kib} KiB`,
      textParts: { bytesMax: kib * KIB },
    })),
  ],
  decoded: vary([1, 64, 192, 1024, 4096, 8192], (bytes) => ({
    name: `decoded from ${bytes} B`,
    decodedBytesMin: bytes,
  })),
  blocks: vary([0.5, 1, 2, 4], (mib) => ({ name: `blocks of ${mib} MiB`, blockBytes: mib * MIB })),
  layout: vary(["heads first", "message by message"] as const, (layout) => ({ name: layout, layout })),
  cuts: vary([64, 128, 256, 512, 1024], (kib) => ({
    name: `whole to ${Math.min(1024, 4 * kib)} KiB, then ${kib} KiB`,
    wholePartBytesMax: Math.min(1024, 4 * kib) * KIB,
    cuts: { bytesMin: (kib * KIB) / 4, bytesAvg: kib * KIB, bytesMax: 4 * kib * KIB },
  })),
  "text-codec": vary([...CODECS, { codec: "brotli", level: 6 } as const], (textCodec) => ({
    name: `texts ${codecName(textCodec)}`,
    textCodec,
  })),
  "part-codec": vary(CODECS, (partCodec) => ({ name: `parts ${codecName(partCodec)}`, partCodec })),
  dense: [
    { ...BASE, name: "no sample, all tried", dense: undefined },
    ...vary([4, 16, 64], (kib) => ({
      name: `sample of ${kib} KiB from 16 KiB`,
      dense: { bytesMin: 16 * KIB, sampleBytes: kib * KIB },
    })),
    ...vary([4, 64], (kib) => ({
      name: `sample of 16 KiB from ${kib} KiB`,
      dense: { bytesMin: kib * KIB, sampleBytes: 16 * KIB },
    })),
  ],
};

/** User and system time of this process. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
