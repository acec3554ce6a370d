/**
 * Filesystems that take no writes while a command of the administrator's makes the view: fsfreeze(8), for ten seconds at
 * most. Everybody who writes there waits, we too if we are not careful, so a watchdog that needs nothing of us thaws them
 * when the time is over or when we are gone. LVM, btrfs and ZFS see to it themselves: there it does nothing.
 */
import { tmpdir } from "node:os";
import { type ByteString, fromText, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { HostFacts } from "../source/host/host-facts.ts";
import { type Mount, mountOf, parseMounts } from "../source/host/mounts.ts";
import { asArgument, commandFailed, writeOut } from "./command.ts";
import type { HeldThing, Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import type { Places, Provider, Quiesce, QuiesceReport } from "./method.ts";
import { oursOn } from "./places.ts";
import type { StartWatchdog, Watchdog } from "./quiesce-watchdog.ts";

export interface FreezeInput {
  readonly host: SnapshotHost;
  readonly provider: Provider["name"];
  /** What we write to, or run from, besides what `Places` names. */
  readonly ownPaths: readonly ByteString[];
  readonly watchdog: StartWatchdog;
}

/** Services that wait longer for the disk begin to fail. */
export const FROZEN_MS_MAX = 10_000;

/** Where whoever takes snapshots writes meanwhile. */
const OF_THE_SYSTEM = ["/", "/run", "/etc/lvm"].map(fromText);

export class FreezeQuiesce implements Quiesce {
  readonly name = "freeze";
  readonly #input: FreezeInput;
  readonly #frozen: HeldThing[] = [];
  #watchdog: Watchdog | undefined;
  #fromMs: number | undefined;

  constructor(input: FreezeInput) {
    this.#input = input;
  }

  async plan(places: Places): Promise<readonly string[]> {
    const { provider } = this.#input;
    if (provider === "none") {
      throw new CyrvaultError(
        "USAGE",
        `--quiesce freeze with --snapshot none: nothing may be frozen for as long as a backup reads (${FROZEN_MS_MAX / 1000} s at most)`,
        { hint: "it goes with --snapshot command; `cyrvault doctor` says what this machine can do" },
      );
    }
    if (provider !== "command") return [`freeze nothing: ${provider} does that by itself`];
    const mounts = await this.#mounts(places);
    return mounts.map(({ point }) => `freeze ${toText(point)}, ${FROZEN_MS_MAX / 1000} s at most`);
  }

  async begin(places: Places, holdings: Holdings, signal?: AbortSignal): Promise<void> {
    const { host, provider, watchdog } = this.#input;
    if (provider !== "command") return;
    const points = (await this.#mounts(places)).map(({ point }) => point);
    // So that nobody waits for it while they are frozen.
    await writeOut(host, points, signal);
    const started = await watchdog({
      steps: points.map((point) => ({
        take: freeze(point),
        undo: ["fsfreeze", "--unfreeze", asArgument(point)],
        isDone: "invalid argument",
      })),
      afterMs: FROZEN_MS_MAX,
    });
    this.#watchdog = started;
    this.#fromMs = host.nowMs();
    for (const [step, point] of points.entries()) {
      const thing: HeldThing = { kind: "frozen", at: point };
      await holdings.hold(thing, async () => {
        this.#frozen.push(thing);
        const result = await started.take(step);
        if (result.exitCode !== 0)
          throw commandFailed(`cannot freeze ${toText(point)}`, freeze(point), result);
      });
    }
  }

  async end(holdings: Holdings): Promise<QuiesceReport> {
    const { host } = this.#input;
    if (this.#fromMs === undefined) return { heldMs: 0, broken: undefined };
    const late = this.#watchdog?.hasBitten === true || host.nowMs() - this.#fromMs >= FROZEN_MS_MAX;
    let failure: unknown;
    for (const thing of this.#frozen.reverse()) {
      await holdings.release(thing).catch((error: unknown) => {
        failure ??= error;
      });
    }
    const heldMs = host.nowMs() - this.#fromMs;
    if (failure === undefined) await this.#watchdog?.dismiss();
    else if ((await this.#watchdog?.bite()) !== true) throw failure;
    return {
      heldMs,
      broken: late ? `the filesystems were thawed after ${FROZEN_MS_MAX / 1000} s` : undefined,
    };
  }

  /** One mount of each filesystem that holds a root. @throws {CyrvaultError} `USAGE` for what must not be frozen. */
  async #mounts(places: Places): Promise<readonly Mount[]> {
    const { host, ownPaths } = this.#input;
    const facts = host.facts();
    if (facts.uid !== 0) throw refused("it needs root");
    const all = parseMounts(facts.mountInfo);
    const found = new Map<string, Mount>();
    for (const path of places.roots) {
      const mount = mountOf(path, all);
      if (mount === undefined) throw refused(`it is not known on which filesystem ${toText(path)} lies`);
      if (!found.has(mount.device)) found.set(mount.device, mount);
    }
    const devices = new Set(found.keys());
    const written = [...OF_THE_SYSTEM, ...places.ours, ...ownPaths, fromText(tmpdir()), ...openedByUs(facts)];
    const swaps = swapFiles((await host.run(["cat", "/proc/swaps"])).stdout);
    const lost = oursOn(devices, [...written, ...swaps], facts);
    if (lost === undefined) return [...found.values()];
    const mount = mountOf(facts.realPath?.(lost) ?? lost, all);
    throw refused(
      `${toText(lost)} lies on the same filesystem (${toText(mount?.point ?? lost)}): who writes there, this program too, would wait for the end of it`,
    );
  }
}

function freeze(point: ByteString): string[] {
  return ["fsfreeze", "--freeze", asArgument(point)];
}

/** Standard output may be a file. */
function openedByUs(facts: HostFacts): ByteString[] {
  return (facts.openFiles(process.pid) ?? []).filter(
    (path) => path.startsWith("/") && !path.startsWith("/dev/") && !path.startsWith("/proc/"),
  );
}

/** Of `/proc/swaps`: a name with its blanks in octal, then what it is. */
function swapFiles(text: string): ByteString[] {
  return text.split("\n").flatMap((line) => {
    const [name, type] = line.split(/\s+/);
    if (type !== "file" || name === undefined) return [];
    return [
      name.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    ] as ByteString[];
  });
}

function refused(why: string): CyrvaultError {
  return new CyrvaultError("USAGE", `--quiesce freeze: ${why}`, {
    hint: "--quiesce stop holds Cyrus still without it",
  });
}
