/**
 * Where mailboxes, users and quota roots lie below their roots, and the way back from a path to a name.
 * Paths are relative and without a leading slash.
 *
 * Two layouts live side by side since 3.6: by name (legacy) and by uniqueid. From cyrus-imapd 3.6.1: imap/mboxname.c
 * (mboxname_hash, mboxname_id_hash, mboxname_conf_getpath_legacy), lib/util.c (dir_hash_c),
 * lib/cyrusdb_quotalegacy.c (hash_quota).
 */
import type { ByteString } from "../base/byte-string.ts";
import { joinName, type NameParts, splitName } from "./mailbox-name.ts";

export interface PathRules {
  /** `hashimapspool`: one-letter directories in the spool. User, quota and sieve trees always have them. */
  readonly hashImapSpool: boolean;
  /** `fulldirhash`: the letter is A–W by a hash of the name, not its first letter. */
  readonly fullDirHash: boolean;
  /** `virtdomains` is not off: `domain/` directories exist. */
  readonly virtualDomains: boolean;
}

/**
 * One letter. The full hash stops at a full stop.
 * @param text - since 3.0 a component with its literal full stops, up to 2.5 with `^` in their place.
 */
export function directoryHash(text: string, full: boolean): string {
  if (!full) {
    const first = text.charAt(0).toLowerCase();
    return first >= "a" && first <= "z" ? first : "q";
  }
  let hash = 0;
  for (let i = 0; i < text.length && text[i] !== "."; i++)
    hash = ((hash << 3) ^ (hash >>> 5) ^ text.charCodeAt(i)) >>> 0;
  return String.fromCharCode("A".charCodeAt(0) + (hash % 23));
}

/** Where 3.0 and newer put it. */
export function legacyMailboxPath(name: ByteString, rules: PathRules): ByteString {
  return mailboxPath(splitName(name), rules, false);
}

/**
 * Every place where some version puts it, the newer rule first: up to 2.5 the letter came from the escaped component,
 * which differs with fulldirhash and a full stop in the name.
 */
export function legacyMailboxPaths(name: ByteString, rules: PathRules): ByteString[] {
  const parts = splitName(name);
  return [...new Set([mailboxPath(parts, rules, false), mailboxPath(parts, rules, true)])];
}

function mailboxPath({ domain, components }: NameParts, rules: PathRules, escaped: boolean): ByteString {
  const directories: string[] = [];
  if (domain !== undefined) {
    directories.push("domain");
    if (rules.hashImapSpool) directories.push(directoryHash(domain, rules.fullDirHash));
    directories.push(domain);
  }
  const onDisk = components.map(escapeDots);
  if (rules.hashImapSpool) directories.push(letterOf(components, rules.fullDirHash, escaped));
  return [...directories, ...onDisk].join("/") as ByteString;
}

function letterOf(components: readonly ByteString[], full: boolean, escaped: boolean): string {
  const component = components[1] ?? components[0] ?? "";
  return directoryHash(escaped ? escapeDots(component) : component, full);
}

function escapeDots(component: string): string {
  return component.replaceAll(".", "^");
}

/** Message, meta and archive directories alike. Undefined where the id cannot be one (too short, or not plain characters). */
export function uuidMailboxPath(uniqueid: ByteString): ByteString | undefined {
  return isUniqueid(uniqueid) ? (`uuid/${uniqueid[0]}/${uniqueid[1]}/${uniqueid}` as ByteString) : undefined;
}

/** Opaque to Cyrus. Seen: UUIDs, 24 of `[0-9a-z]` (Debian's 3.6.1), 16 hex digits (2.x). */
export function isUniqueid(id: string): boolean {
  return /^[0-9A-Za-z-]{2,64}$/.test(id);
}

export type MailboxPlace =
  | { readonly layout: "uuid"; readonly uniqueid: ByteString }
  /** `expected` is false where Cyrus, by these rules, would look for that name somewhere else. */
  | { readonly layout: "legacy"; readonly name: ByteString; readonly expected: boolean };

/** Which mailbox a directory below a partition root belongs to; undefined where none can be. */
export function mailboxFromPath(path: ByteString, rules: PathRules): MailboxPlace | undefined {
  const uniqueid = uniqueidFromPath(path.split("/") as ByteString[]);
  if (uniqueid !== undefined) return { layout: "uuid", uniqueid };
  const name = nameFromLegacyPath(path, rules);
  if (name === undefined) return undefined;
  return { layout: "legacy", name, expected: legacyMailboxPaths(name, rules).includes(path) };
}

/** The name that a directory of the legacy layout stands for, wherever Cyrus would look for it. */
export function nameFromLegacyPath(path: ByteString, rules: PathRules): ByteString | undefined {
  const directories = path.split("/") as ByteString[];
  let domain: ByteString | undefined;
  let rest = directories;
  if (rules.virtualDomains && directories[0] === "domain") {
    const domainAt = rules.hashImapSpool ? 2 : 1;
    domain = directories[domainAt];
    rest = directories.slice(domainAt + 1);
    if (domain === undefined || !isDirectoryName(domain)) return undefined;
  }
  if (rules.hashImapSpool) {
    if (!isHashLetter(rest[0])) return undefined;
    rest = rest.slice(1);
  }
  if (rest.length === 0 || !rest.every((part) => isDirectoryName(part) && !part.includes(".")))
    return undefined;
  return joinName({ domain, components: rest });
}

/** `uuid/a/b/abcdef` → `abcdef`. */
function uniqueidFromPath(directories: readonly ByteString[]): ByteString | undefined {
  const [top, first, second, id] = directories;
  if (directories.length !== 4 || top !== "uuid" || id === undefined || !isUniqueid(id)) return undefined;
  return first === id[0] && second === id[1] ? id : undefined;
}

function isHashLetter(part: string | undefined): boolean {
  return part !== undefined && /^[A-Za-z]$/.test(part);
}

function isDirectoryName(part: string): boolean {
  return part !== "" && part !== "." && part !== ".." && !/[\x00-\x1f\x7f]/.test(part);
}

/** Below the configdirectory. @param user - `fred.smith`, `bob@example.com`. */
export function legacyUserFilePath(user: ByteString, suffix: string, rules: PathRules): ByteString {
  const { domainDirectories, local } = splitUser(user, rules);
  const letter = directoryHash(local, rules.fullDirHash);
  return [...domainDirectories, "user", letter, `${local}.${suffix}`].join("/") as ByteString;
}

/** Below the configdirectory. Undefined where the id cannot be one. */
export function uuidUserFilePath(inboxUniqueid: ByteString, suffix: string): ByteString | undefined {
  const path = uuidMailboxPath(inboxUniqueid);
  return path === undefined ? undefined : (`user/${path}/${suffix}.db` as ByteString);
}

/** Below sievedir: the user's directory in the legacy layout. */
export function legacySieveDirectory(user: ByteString, rules: PathRules): ByteString {
  const { domainDirectories, local } = splitUser(user, rules);
  return [...domainDirectories, directoryHash(local, rules.fullDirHash), local].join("/") as ByteString;
}

function splitUser(user: ByteString, rules: PathRules): { domainDirectories: string[]; local: string } {
  const at = rules.virtualDomains ? user.lastIndexOf("@") : -1;
  if (at < 0) return { domainDirectories: [], local: user };
  const domain = user.slice(at + 1);
  return {
    domainDirectories: ["domain", directoryHash(domain, rules.fullDirHash), domain],
    local: user.slice(0, at),
  };
}

export type UserFile =
  | { readonly layout: "uuid"; readonly inboxUniqueid: ByteString; readonly suffix: ByteString }
  /** In 2.5 some files carry `^` for a full stop: `user` is as the file says. */
  | { readonly layout: "legacy"; readonly user: ByteString; readonly suffix: ByteString };

/** Which user a file below the configdirectory belongs to; undefined where it is no user's file. */
export function userFromPath(path: ByteString): UserFile | undefined {
  const uuid = /^user\/uuid\/([^/])\/([^/])\/([^/]+)\/([^/]+)\.db$/.exec(path);
  if (uuid !== null) {
    const [, first, second, id = "", suffix = ""] = uuid;
    if (!isUniqueid(id) || id[0] !== first || id[1] !== second) return undefined;
    return { layout: "uuid", inboxUniqueid: id as ByteString, suffix: suffix as ByteString };
  }
  const legacy = /^(?:domain\/[A-Za-z]\/([^/]+)\/)?user\/[A-Za-z]\/([^/]+)\.([^./]+)$/.exec(path);
  if (legacy === null) return undefined;
  const [, domain, local = "", suffix = ""] = legacy;
  if (suffix === "NEW") return undefined;
  const user = domain === undefined ? local : `${local}@${domain}`;
  return { layout: "legacy", user: user as ByteString, suffix: suffix as ByteString };
}

/** Below the configdirectory, for `quota_db: quotalegacy`. `example.com!` is the root of a whole domain. */
export function quotaFilePath(quotaRoot: ByteString, rules: PathRules): ByteString {
  const mark = rules.virtualDomains ? quotaRoot.indexOf("!") : -1;
  const domain = quotaRoot.slice(0, Math.max(0, mark));
  const local = quotaRoot.slice(mark + 1);
  const directories =
    mark < 0 ? ["quota"] : ["domain", directoryHash(domain, rules.fullDirHash), domain, "quota"];
  if (mark >= 0 && local === "") return [...directories, "root"].join("/") as ByteString;
  const hashed = local.slice(local.indexOf(".") + 1);
  return [...directories, directoryHash(hashed, rules.fullDirHash), local].join("/") as ByteString;
}

/** The quota root that a file below the configdirectory is for; undefined where it is none. */
export function quotaRootFromPath(path: ByteString): ByteString | undefined {
  const match = /^(?:domain\/[A-Za-z]\/([^/]+)\/)?quota\/(?:(root)|[A-Za-z]\/([^/]+))$/.exec(path);
  if (match === null) return undefined;
  const [, domain, whole, local = ""] = match;
  if (whole !== undefined) return domain === undefined ? undefined : (`${domain}!` as ByteString);
  if (local.endsWith(".NEW")) return undefined;
  return (domain === undefined ? local : `${domain}!${local}`) as ByteString;
}
