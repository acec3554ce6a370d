/** Worker threads: how one is started, and how an error comes from one. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { CyrvaultError, type ErrorCode } from "./errors.ts";
import { entryUrl, RUNS_FROM_SOURCE } from "./package-files.ts";

/** V8's young generation: what a worker needs for a message dies at once, so a small one is enough. */
const YOUNG_GENERATION_MB = 8;

/** What is left of an error between threads. */
export interface ThreadError {
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly stack: string | undefined;
  /** The operating system's code behind it. */
  readonly system: string | undefined;
}

/** @param entry - its module's source, below `src/`; from a build the module built of it is started. */
export function startThread(entry: string, workerData: unknown): Worker {
  const options = { workerData, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB } };
  const url = entryUrl(entry);
  return RUNS_FROM_SOURCE
    ? new Worker(bootFromSource(url), { ...options, eval: true })
    : new Worker(url, options);
}

export function toThreadError(error: unknown): ThreadError {
  const known = error as { code?: unknown; hint?: string; cause?: { code?: unknown } };
  const system = known.cause?.code;
  return {
    code: typeof known.code === "string" ? known.code : "BUG",
    message: error instanceof Error ? error.message : String(error),
    hint: known.hint,
    stack: error instanceof Error ? error.stack : undefined,
    system: typeof system === "string" ? system : undefined,
  };
}

export function fromThreadError({ code, message, hint, stack, system }: ThreadError): Error {
  if (code === "BUG") return Object.assign(new TypeError(message), stack === undefined ? {} : { stack });
  const cause = system === undefined ? undefined : Object.assign(new Error(system), { code: system });
  return new CyrvaultError(code as ErrorCode, message, { ...(hint === undefined ? {} : { hint }), cause });
}

/** Run from source (development, tests) a thread needs a loader of its own, which no option of Worker gives it. */
function bootFromSource(entry: URL): string {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx/package.json"));
  const loader = new URL("./dist/esm/api/index.mjs", tsx);
  return `import("${loader}").then(({ register }) => { register(); return import("${entry}"); })`;
}
