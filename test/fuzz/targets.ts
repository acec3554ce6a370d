/** All fuzz targets. */
import { CYRUS_TARGETS } from "./cyrus-targets.ts";
import { MAIL_TARGETS } from "./mail-targets.ts";
import { MANIFEST_TARGETS } from "./manifest-targets.ts";
import { STORE_TARGETS } from "./store-targets.ts";
import type { FuzzTarget } from "./target.ts";

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  ...CYRUS_TARGETS,
  ...STORE_TARGETS,
  ...MANIFEST_TARGETS,
  ...MAIL_TARGETS,
];
