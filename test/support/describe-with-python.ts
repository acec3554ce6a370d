/** A suite that runs docs/formats/reader.py: where Python or one of its two packages is missing, as loud as without Cyrus. */
import { spawnSync } from "node:child_process";
import { describeWith } from "./describe-with.ts";

/** Debian's own: the packages that the reader needs come for this one. */
export const PYTHON = "/usr/bin/python3";

export function describeWithPython(name: string, suite: () => void): void {
  const { status } = spawnSync(PYTHON, ["-c", "import brotli, cryptography"]);
  const missing =
    status === 0
      ? undefined
      : `${PYTHON} with brotli and cryptography is missing: apt-get install python3-brotli python3-cryptography`;
  describeWith(missing, "the reader in Python can run", name, suite);
}
