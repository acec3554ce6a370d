/** The machine as it is. Nothing here changes anything. */
import { spawnSync } from "node:child_process";
import {
  constants,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statfsSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { type ByteString, fromBytes, toFsPath } from "../../base/byte-string.ts";
import { readSourceFile } from "../read-file.ts";
import { isWithin } from "../view.ts";
import type { HostFacts, HostProcess, HostStat, Space } from "./host-facts.ts";

const FILE_BYTES_MAX = 4 * 1024 * 1024;
const RUN_MS_MAX = 10_000;
/** Layers of devices upon devices. */
const DEPTH_MAX = 8;
const O_ACCMODE = 3;

export function liveHost(): HostFacts {
  return {
    mountInfo: attempt(() => fromBytes(readFileSync("/proc/self/mountinfo"))) ?? ("" as ByteString),
    processes: allProcesses(),
    uid: process.geteuid?.() ?? 0,
    openFiles: (pid) => descriptors(pid)?.map(({ path }) => path),
    openForWriting: (pid, directories) =>
      descriptors(pid)
        ?.filter(({ path }) => directories.some((directory) => isWithin(path, directory)))
        .filter(({ fd }) => isForWriting(pid, fd))
        .map(({ path }) => path),
    readFile: (path) => readSourceFile(path, FILE_BYTES_MAX)?.bytes,
    list: (path) => attempt(() => readdirSync(toFsPath(path), { encoding: "latin1" }).sort() as ByteString[]),
    stat,
    realPath: (path) =>
      attempt(() => realpathSync.native(toFsPath(path), { encoding: "latin1" }) as ByteString),
    space,
    deviceMapper,
    disksOf: (deviceFile) => {
      const name = attempt(() => basename(realpathSync(toFsPath(deviceFile) as string)));
      return name === undefined ? [] : [...new Set(disksBelow(name, 0))];
    },
    run,
  };
}

/** Processes end while we look, and much is not for every user. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

function allProcesses(): HostProcess[] {
  const found: HostProcess[] = [];
  for (const name of attempt(() => readdirSync("/proc")) ?? []) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const commandLine = attempt(() => fromBytes(readFileSync(`/proc/${name}/cmdline`)));
    const status = attempt(() => readFileSync(`/proc/${name}/status`, "latin1"));
    // Threads of the kernel have no command line.
    if (commandLine === undefined || commandLine === "" || status === undefined) continue;
    found.push({
      pid: Number(name),
      parent: Number(/^PPid:\s*(\d+)/m.exec(status)?.[1] ?? 0),
      uid: Number(/^Uid:\s*\d+\s+(\d+)/m.exec(status)?.[1] ?? 0),
      args: commandLine.replace(/\0$/, "").split("\0") as ByteString[],
    });
  }
  return found;
}

function descriptors(pid: number): { readonly fd: string; readonly path: ByteString }[] | undefined {
  const directory = `/proc/${pid}/fd`;
  return attempt(() => readdirSync(directory))?.flatMap((fd) => {
    const path = attempt(() => readlinkSync(`${directory}/${fd}`, { encoding: "latin1" }) as ByteString);
    return path === undefined ? [] : [{ fd, path }];
  });
}

/** The flags of open(2), in octal. */
function isForWriting(pid: number, fd: string): boolean {
  const flags = /^flags:\s*([0-7]+)/m.exec(
    attempt(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1")) ?? "",
  )?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & O_ACCMODE) !== constants.O_RDONLY;
}

function stat(path: ByteString): HostStat | undefined {
  return attempt(() => {
    const found = lstatSync(toFsPath(path), { bigint: true });
    const type = found.isFile()
      ? "file"
      : found.isDirectory()
        ? "directory"
        : found.isSymbolicLink()
          ? "symlink"
          : "special";
    return { type, device: found.dev, inode: found.ino, uid: Number(found.uid) };
  });
}

function space(path: ByteString): Space | undefined {
  return attempt(() => {
    const { bavail, blocks, bsize } = statfsSync(toFsPath(path));
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  });
}

function deviceMapper(device: string): { uuid: string; name: string } | undefined {
  return attempt(() => {
    const directory = `/sys/dev/block/${device}/dm`;
    return {
      uuid: readFileSync(`${directory}/uuid`, "latin1").trim(),
      name: readFileSync(`${directory}/name`, "latin1").trim(),
    };
  });
}

/** Down through RAID, LVM and encryption (`slaves/`), and from a partition to its disk. */
function disksBelow(name: string, depth: number): string[] {
  const place = attempt(() => realpathSync(`/sys/class/block/${name}`));
  if (place === undefined || depth > DEPTH_MAX) return [];
  const slaves = attempt(() => readdirSync(`${place}/slaves`)) ?? [];
  if (slaves.length > 0) return slaves.flatMap((slave) => disksBelow(slave, depth + 1));
  const isPartition = attempt(() => readFileSync(`${place}/partition`)) !== undefined;
  return [isPartition ? basename(dirname(place)) : name];
}

function run(program: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(program, args, {
    encoding: "latin1",
    stdio: ["ignore", "pipe", "ignore"],
    timeout: RUN_MS_MAX,
    env: { ...process.env, LC_ALL: "C" },
  });
  return status === 0 ? stdout : undefined;
}
