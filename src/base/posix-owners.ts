/**
 * Names of users and groups by the C library, so that whatever the site has set up in nsswitch.conf (LDAP, SSSD)
 * counts. Without it: the same through `getent`. Answers are kept for the life of the thread.
 */
import { spawnSync } from "node:child_process";
import { CyrvaultError } from "./errors.ts";
import { errnoError, ioError } from "./io-error.ts";
import { type Libc, nativeLibc } from "./posix-native.ts";

/** @returns undefined when no such user is known. @throws {CyrvaultError} `IO` when the machine is out of means to ask. */
export function userName(uid: number): string | undefined {
  return remembered(`u${uid}`, () => lookUp("passwd", uid)?.name);
}

export function groupName(gid: number): string | undefined {
  return remembered(`g${gid}`, () => lookUp("group", gid)?.name);
}

export function userId(name: string): number | undefined {
  return remembered(`U${name}`, () => lookUp("passwd", name)?.id);
}

export function groupId(name: string): number | undefined {
  return remembered(`G${name}`, () => lookUp("group", name)?.id);
}

type Database = "passwd" | "group";

interface Owner {
  readonly name: string;
  readonly id: number;
}

const answers = new Map<string, string | number | undefined>();

function remembered<T extends string | number>(key: string, ask: () => T | undefined): T | undefined {
  if (!answers.has(key)) answers.set(key, ask());
  return answers.get(key) as T | undefined;
}

function lookUp(database: Database, key: number | string): Owner | undefined {
  if (typeof key === "string" && (key === "" || key.includes("\0"))) return undefined;
  const { libc } = nativeLibc();
  return libc === undefined ? byGetent(database, key) : byLibc(libc, database, key);
}

const ERANGE = 34;
/** Failures of this machine. Anything else (a directory service that is set up but away) counts as unknown. */
const OUT_OF_MEANS = new Set([5 /* EIO */, 12 /* ENOMEM */, 23 /* ENFILE */, 24 /* EMFILE */]);
/** A group of very many members is large: its entry must fit, though only the name is wanted. */
const ENTRY_BYTES_MAX = 64 * 1024 * 1024;

function byLibc(libc: Libc, database: Database, key: number | string): Owner | undefined {
  const id = typeof key === "number" ? key : 0;
  const name = typeof key === "string" ? Buffer.from(`${key}\0`) : Buffer.alloc(1);
  const entry = Buffer.alloc(64);
  const result = Buffer.alloc(8);
  for (let bytes = 4096; bytes <= ENTRY_BYTES_MAX; bytes *= 4) {
    const buffer = Buffer.alloc(bytes);
    const byId = database === "passwd" ? libc.getpwuid_r : libc.getgrgid_r;
    const byName = database === "passwd" ? libc.getpwnam_r : libc.getgrnam_r;
    const errno =
      typeof key === "number"
        ? byId(id, entry, buffer, bytes, result)
        : byName(name, entry, buffer, bytes, result);
    if (errno === ERANGE) continue;
    if (OUT_OF_MEANS.has(errno))
      throw ioError(`cannot look up ${key} in ${database}`, errnoError(errno, "nss"));
    if (errno !== 0 || result.readBigUInt64LE(0) === 0n) return undefined;
    return decodeEntry(libc, entry, buffer);
  }
  throw new CyrvaultError("IO", `the entry of ${key} in ${database} is larger than ${ENTRY_BYTES_MAX} bytes`);
}

/** struct passwd and struct group alike: char *name at 0, char *password at 8, u32 id at 16. */
function decodeEntry(libc: Libc, entry: Buffer, buffer: Buffer): Owner | undefined {
  const start = Number(entry.readBigUInt64LE(0) - libc.addressOf(buffer));
  const end = start >= 0 && start < buffer.length ? buffer.indexOf(0, start) : -1;
  if (end < 0) return undefined; // a lookup module that keeps its text elsewhere
  return { name: buffer.toString("utf8", start, end), id: entry.readUInt32LE(16) };
}

function byGetent(database: Database, key: number | string): Owner | undefined {
  const done = spawnSync("getent", [database, "--", String(key)], {
    encoding: "utf8",
    maxBuffer: ENTRY_BYTES_MAX,
  });
  const fields = (done.stdout ?? "").split("\n")[0]?.split(":") ?? [];
  const owner = { name: fields[0] ?? "", id: Number(fields[2]) };
  if (owner.name === "" || !Number.isSafeInteger(owner.id)) return undefined;
  // getent takes a name of digits for an id.
  return (typeof key === "number" ? owner.id : owner.name) === key ? owner : undefined;
}
