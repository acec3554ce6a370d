import { CyrvaultError } from "../base/errors.ts";

/** `100000`, `64K`, `500M`, `4G`, of either case. @throws {CyrvaultError} `USAGE`. */
export function parseBytes(text: string, option = "--checkpoint-bytes"): number {
  const [, number, unit = ""] = /^(\d{1,15})([KMG]?)$/.exec(text.toUpperCase()) ?? [];
  const bytes = Number(number) * 1024 ** ["", "K", "M", "G"].indexOf(unit);
  if (bytes > 0) return bytes;
  throw new CyrvaultError("USAGE", `${option} ${text}: not a size`, { hint: "write 500K, 500M or 4G" });
}
