import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { parseImapdConf } from "../../../src/cyrus/imapd-conf.ts";
import { effectiveLayout } from "../../../src/cyrus/imapd-conf-layout.ts";
import type { ServerLayout } from "../../../src/cyrus/server-layout.ts";
import type { HostFacts, HostProcess, HostStat } from "../../../src/source/host/host-facts.ts";
import type { RootKind, ServerRoot } from "../../../src/source/roots.ts";

/** A machine on which nothing is but what a test says. */
export function madeUpHost(given: Partial<HostFacts> = {}): HostFacts {
  return {
    mountInfo: fromText(""),
    processes: [],
    uid: 1000,
    openFiles: () => [],
    openForWriting: () => [],
    readFile: () => undefined,
    list: () => undefined,
    stat: () => undefined,
    space: () => undefined,
    deviceMapper: () => undefined,
    disksOf: () => [],
    run: () => undefined,
    ...given,
  };
}

/** Lines of mountinfo. */
export function mountInfo(
  ...mounts: readonly (readonly [point: string, type: string, source: string, device?: string])[]
): ByteString {
  const lines = mounts.map(
    ([point, type, source, device = "8:1"], at) =>
      `${30 + at} 1 ${device} / ${point} rw,relatime shared:${at} - ${type} ${source} rw`,
  );
  return fromText(`${lines.join("\n")}\n`);
}

export function directory(device: number, inode = 4242): HostStat {
  return { type: "directory", device: BigInt(device), inode: BigInt(inode), uid: 106 };
}

export function process(pid: number, parent: number, uid: number, ...args: readonly string[]): HostProcess {
  return { pid, parent, uid, args: args.map(fromText) };
}

export function root(kind: RootKind, path: string, name = ""): ServerRoot {
  const place = fromText(path);
  return {
    kind,
    name: fromText(name),
    path: place,
    realPath: place,
    logicalPath: place,
    configuredPath: place,
  };
}

/** What an imapd.conf says; configdirectory and one partition are there already. */
export function configured(...lines: readonly string[]): {
  conf: ReturnType<typeof parseImapdConf>;
  layout: ServerLayout;
} {
  const text = ["configdirectory: /var/lib/cyrus", "partition-default: /var/spool/cyrus", ...lines].join(
    "\n",
  );
  const conf = parseImapdConf(fromText("/etc/imapd.conf"), () => Buffer.from(`${text}\n`));
  return { conf, layout: effectiveLayout(conf) };
}
