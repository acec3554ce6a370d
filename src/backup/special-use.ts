/** Which mailboxes their owners have given a role (RFC 6154): `/specialuse` in annotations.db. */
import { type ByteString, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { parseAnnotationKey, parseAnnotationValue } from "../cyrus/annotations.ts";
import { readDatabase } from "../cyrus/database.ts";
import type { ServerLayout } from "../cyrus/imapd-conf-layout.ts";
import { userOf } from "../cyrus/mailbox-name.ts";
import type { ReadNow } from "../source/held.ts";
import { readSourceFile } from "../source/read-file.ts";
import type { SourceView } from "../source/view.ts";
import type { FindingSink } from "./finding-sink.ts";

const ENTRY = "/specialuse";
const DATABASE_BYTES_MAX = 2 ** 31 - 1;
/** Whose word counts for a mailbox besides its owner's, by name: everybody's, and the owner's under a token (3.6 and newer). */
const FOR_ALL: ReadonlySet<string> = new Set(["", "[.OwNeR.]"]);

export class SpecialUse {
  /** By uniqueid (3.6 and newer) or internal name: who says so. */
  readonly #saidBy = new Map<ByteString, Set<ByteString>>();
  readonly #deletedPrefix: ByteString;

  constructor(deletedPrefix: ByteString) {
    this.#deletedPrefix = deletedPrefix;
  }

  get isEmpty(): boolean {
    return this.#saidBy.size === 0;
  }

  add(mailbox: ByteString, user: ByteString): void {
    const users = this.#saidBy.get(mailbox) ?? new Set();
    this.#saidBy.set(mailbox, users.add(user));
  }

  /** What somebody else calls a mailbox that they share is no reason to leave it out. */
  has(name: ByteString, uniqueid: ByteString | undefined): boolean {
    if (this.#saidBy.size === 0) return false;
    const owner = userOf(name, this.#deletedPrefix);
    for (const key of [uniqueid, name]) {
      const users = key === undefined ? undefined : this.#saidBy.get(key);
      for (const user of users ?? []) if (FOR_ALL.has(user) || user === owner) return true;
    }
    return false;
  }
}

/**
 * @param uses - attributes with their backslash, in any case. Empty: nothing is read.
 * Where the database cannot be read, no mailbox has a role, and a finding says so: more is backed up rather than less.
 */
export function readSpecialUse(
  { databases, deletedPrefix }: Pick<ServerLayout, "databases" | "deletedPrefix">,
  uses: readonly string[],
  view: SourceView,
  findings: FindingSink,
  readNow: ReadNow = readSourceFile,
): SpecialUse {
  const found = new SpecialUse(deletedPrefix);
  const { path } = databases.annotations;
  if (uses.length === 0 || path === undefined) return found;
  const wanted = new Set(uses.map((use) => use.toLowerCase()));
  try {
    const file = readNow(view.locate(path), DATABASE_BYTES_MAX);
    const database = file === undefined ? undefined : readDatabase(file.bytes);
    if (database !== undefined && !database.readable)
      throw new CyrvaultError("CYRUS_BAD_FORMAT", `${database.engine} is not read here`);
    for (const { key, value } of database?.records ?? []) {
      const { subject, entry, user } = parseAnnotationKey(key);
      if (entry !== ENTRY || subject === "") continue;
      const { value: text, deleted } = parseAnnotationValue(value);
      const roles = text.toString("latin1").toLowerCase().split(" ");
      if (!deleted && roles.some((role) => wanted.has(role))) found.add(subject, user);
    }
  } catch (error) {
    if (!(error instanceof CyrvaultError)) throw error;
    findings.add(
      "database-unreadable",
      "warning",
      path,
      `special-use attributes of ${toText(path)} cannot be read (${error.message}): no mailbox is excluded for them`,
    );
  }
  return found;
}
