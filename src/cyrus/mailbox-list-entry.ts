/** A mailbox as mailboxes.db has it, whatever the style of its records. */
import type { ByteString } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";

export type MailboxListStyle = "text" | "dlist" | "dlist-by-id";

export interface AclEntry {
  readonly identifier: ByteString;
  readonly rights: ByteString;
}

/** A name that the mailbox had before, as the record by uniqueid keeps it (3.6 and newer). */
export interface FormerName {
  readonly name: ByteString;
  readonly mailboxType: ByteString;
  readonly partition?: ByteString;
  /** Seconds since the epoch: when it ceased to have that name. */
  readonly mtime?: number;
  readonly uidvalidity?: number;
  readonly createdModseq?: bigint;
  readonly folderModseq?: bigint;
}

export interface MailboxListEntry {
  readonly name: ByteString;
  /** As letters in the order of 3.6, whatever the style: `e`, `el`, `ed`, …. */
  readonly mailboxType: ByteString;
  readonly acl: readonly AclEntry[];
  /** The ACL as it stands in a text record, where `acl` does not give it back exactly. */
  readonly aclText?: ByteString;
  readonly uniqueid?: ByteString;
  readonly partition?: ByteString;
  readonly server?: ByteString;
  readonly uidvalidity?: number;
  readonly createdModseq?: bigint;
  readonly folderModseq?: bigint;
  /** Seconds since the epoch. */
  readonly mtime?: number;
  readonly legacySpecialUse?: ByteString;
  /** 3.13 and newer. */
  readonly jmapId?: ByteString;
  /** Its files lie by name, not by uniqueid. True for every mailbox up to 3.4. */
  readonly legacyDirectories: boolean;
  /** On another server of a Murder: no files here. */
  readonly remote: boolean;
  /** A name that was deleted or renamed away: no files under it. */
  readonly tombstone: boolean;
  /** A name that only has children. */
  readonly intermediate: boolean;
  /** Caught while being made: `ctl_cyrusdb -r` will delete it. */
  readonly reserved: boolean;
  /** Newest last; empty where there is none. */
  readonly history: readonly FormerName[];
}

type State = Pick<
  MailboxListEntry,
  "legacyDirectories" | "remote" | "tombstone" | "intermediate" | "reserved"
>;

/** What the letters of the type and a server say of it. @param alwaysLegacy - up to 3.4. */
export function mailboxState(type: ByteString, server: ByteString | undefined, alwaysLegacy: boolean): State {
  return {
    legacyDirectories: alwaysLegacy || type.includes("l"),
    remote: server !== undefined || type.includes("r"),
    tombstone: type.includes("d"),
    intermediate: type.includes("i"),
    reserved: type.includes("z"),
  };
}

/** `id TAB rights TAB id TAB rights TAB`. A last identifier without rights is left out. */
export function splitAcl(text: ByteString): AclEntry[] {
  const words = text.split("\t") as ByteString[];
  const acl: AclEntry[] = [];
  for (let i = 0; i + 1 < words.length; i += 2) {
    const [identifier, rights] = [words[i] as ByteString, words[i + 1] as ByteString];
    if (identifier !== "" || rights !== "") acl.push({ identifier, rights });
  }
  return acl;
}

export function joinAcl(acl: readonly AclEntry[]): ByteString {
  return acl.map(({ identifier, rights }) => `${identifier}\t${rights}\t`).join("") as ByteString;
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Fields that are absent, not undefined. */
export function withoutUndefined<T extends object>(value: T): Defined<T> {
  const defined: Partial<T> = {};
  for (const key of Object.keys(value) as (keyof T)[])
    if (value[key] !== undefined) defined[key] = value[key];
  return defined as unknown as Defined<T>;
}

/** A record that does not say what it should. */
export function badRecord(why: string): CyrvaultError {
  return new CyrvaultError("CYRUS_BAD_FORMAT", why);
}
