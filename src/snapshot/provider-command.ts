/** `--snapshot command`: the administrator's own commands make the view and take it away again. */
import { type ByteString, fromText, joinPath, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { mountOf, parseMounts } from "../source/host/mounts.ts";
import { isWithin, normalise, type PathMapping, SourceView } from "../source/view.ts";
import { asArgument, commandFailed, writeOut } from "./command.ts";
import type { Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import type { Places, Provider, TakenView } from "./method.ts";
import { viewThrough } from "./places.ts";

export interface CommandHooks {
  /** For /bin/sh. Prints `FROM=TO` lines, or JSON `{"FROM": "TO"}`. */
  readonly make: string;
  /** For /bin/sh. Must work also when `make` failed half-way, and when there is nothing any more. */
  readonly remove: string;
  readonly stamp: string;
  /** Nobody writes while `make` runs, and what it takes is to be as good as that: what the kernel has not written yet is written first. */
  readonly writesOut?: boolean;
  /** undefined: as long as it takes. */
  readonly timeoutMs?: number;
}

const MAPPINGS_MAX = 10_000;
const SHOWN_CHARS = 200;
const WITHOUT_LIMIT_MS = 2 ** 31 - 1;

export class CommandProvider implements Provider {
  readonly name = "command";
  readonly isFrozen = true;
  readonly #hooks: CommandHooks;
  readonly #host: SnapshotHost;

  constructor(hooks: CommandHooks, host: SnapshotHost) {
    this.#hooks = hooks;
    this.#host = host;
  }

  async plan(places: Places): Promise<readonly string[]> {
    const { make, remove } = this.#hooks;
    this.#environment(places);
    const points = this.#pointsToWriteOut(places).map(toText);
    return [
      ...(points.length === 0 ? [] : [`write out what is still in memory of ${points.join(", ")}`]),
      `run: ${make}`,
      `afterwards: ${remove}`,
    ];
  }

  async take(places: Places, holdings: Holdings, signal?: AbortSignal): Promise<TakenView> {
    const { make, remove, timeoutMs = WITHOUT_LIMIT_MS } = this.#hooks;
    const environment = this.#environment(places);
    await writeOut(this.#host, this.#pointsToWriteOut(places), signal);
    const cutMs = this.#host.nowMs();
    const argv = ["/bin/sh", "-c", make];
    const mappings = await holdings.hold(
      { kind: "command-view", remove: ["/bin/sh", "-c", remove], environment },
      async () => {
        const result = await this.#host.run(argv, { environment, timeoutMs, signal });
        if (result.exitCode !== 0) signal?.throwIfAborted();
        if (result.exitCode !== 0) throw commandFailed("--snapshot-command failed", argv, result);
        return readMappings(result.stdout);
      },
    );
    this.#requireAll(mappings, places);
    return {
      ...viewThrough(mappings),
      cutMs,
      isAtomic: true,
      torn: undefined,
      check: async () => this.#requireThere(mappings),
    };
  }

  /** One place of each filesystem. */
  #pointsToWriteOut({ roots }: Places): readonly ByteString[] {
    if (this.#hooks.writesOut !== true) return [];
    const mounts = parseMounts(this.#host.facts().mountInfo);
    return [...new Set(roots.map((root) => mountOf(root, mounts)?.point ?? root))];
  }

  #environment({ roots }: Places): Readonly<Record<string, string>> {
    return {
      CYRVAULT_SNAPSHOT: `cyrvault-${this.#hooks.stamp}`,
      CYRVAULT_ROOTS: roots.map(asArgument).join("\n"),
    };
  }

  #requireAll(mappings: readonly PathMapping[], { roots }: Places): void {
    const lost = roots.find((root) => !mappings.some(({ from }) => isWithin(root, from)));
    if (lost !== undefined) {
      throw new CyrvaultError(
        "SNAPSHOT_FAILED",
        `--snapshot-command does not say where ${toText(lost)} lies now`,
        {
          hint: `it must print a line ${toText(lost)}=/where/it/is, or one for a directory above it`,
        },
      );
    }
    const twice = mappings.find(({ from, to }) => mappings.some((one) => one.from === from && one.to !== to));
    if (twice !== undefined) {
      throw new CyrvaultError(
        "SNAPSHOT_FAILED",
        `--snapshot-command says twice where ${toText(twice.from)} lies, each time elsewhere`,
      );
    }
    const live = roots.find((root) => this.#isStillLive(root, mappings));
    if (live !== undefined) {
      throw new CyrvaultError(
        "SNAPSHOT_FAILED",
        `--snapshot-command says that ${toText(live)} lies where it always does: that is no view`,
        { hint: "a link to the live directory, or a bind mount of it, shows what Cyrus goes on changing" },
      );
    }
    this.#requireThere(mappings);
  }

  /** Also by another name: through a link or a bind mount. */
  #isStillLive(root: ByteString, mappings: readonly PathMapping[]): boolean {
    const at = new SourceView("/" as ByteString, mappings).locate(root);
    if (at === root) return true;
    const facts = this.#host.facts();
    const [here, there] = [root, at].map((path) => facts.stat(joinPath(path, "." as ByteString)));
    if (here === undefined || there === undefined) return false;
    // A filer may show a snapshot's files with the numbers of the live ones.
    const isByNetwork = /^nfs/.test(mountOf(at, parseMounts(facts.mountInfo))?.type ?? "");
    return here.device === there.device && here.inode === there.inode && !isByNetwork;
  }

  #requireThere(mappings: readonly PathMapping[]): void {
    const facts = this.#host.facts();
    const lost = mappings.find(({ to }) => facts.stat(to) === undefined);
    if (lost === undefined) return;
    throw new CyrvaultError(
      "SNAPSHOT_FAILED",
      `there is no ${toText(lost.to)}, where --snapshot-command says ${toText(lost.from)} lies`,
    );
  }
}

/** @param printed - one char a byte. */
function readMappings(printed: string): PathMapping[] {
  const text = printed.trim();
  const mappings = text.startsWith("{") ? fromJson(text) : fromLines(text);
  if (mappings.length <= MAPPINGS_MAX) return mappings;
  throw new CyrvaultError("SNAPSHOT_FAILED", `--snapshot-command printed ${mappings.length} places`);
}

function fromLines(text: string): PathMapping[] {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.flatMap((line) => {
    if (line === "") return [];
    const at = line.indexOf("=");
    if (at < 1) throw notUnderstood(line);
    return [mapping(line.slice(0, at), line.slice(at + 1))];
  });
}

/** For paths with blanks at their ends, line ends or `=` in them too. */
function fromJson(text: string): PathMapping[] {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, "latin1").toString("utf8"));
  } catch (cause) {
    throw new CyrvaultError("SNAPSHOT_FAILED", "--snapshot-command printed JSON that cannot be read", {
      cause,
    });
  }
  return Object.entries(value as Record<string, unknown>).map(([from, to]) => {
    if (typeof to !== "string") throw notUnderstood(`${fromText(from)}=${JSON.stringify(to)}`);
    return mapping(fromText(from), fromText(to));
  });
}

function mapping(from: string, to: string): PathMapping {
  if (!from.startsWith("/") || !to.startsWith("/") || to.includes("\0")) throw notUnderstood(`${from}=${to}`);
  return { from: normalise(from as ByteString), to: normalise(to as ByteString) };
}

function notUnderstood(said: string): CyrvaultError {
  return new CyrvaultError(
    "SNAPSHOT_FAILED",
    `--snapshot-command printed «${toText(said.slice(0, SHOWN_CHARS) as ByteString)}»: it must print FROM=TO lines with absolute paths, and nothing else`,
    { hint: "what is for people belongs on standard error" },
  );
}
