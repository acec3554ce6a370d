/**
 * The forms of a mailbox's name. Everywhere in cyrvault a name is *internal* unless it says otherwise.
 *
 * internal   `example.com!user.fred^smith.Work`     a literal full stop inside a component is `^`
 * external   `user/fred.smith/Work@example.com`     what an administrator sees (unixhierarchysep on)
 *            `user.fred^smith.Work@example.com`     the same with unixhierarchysep off
 * dbname     `example.com` 1D `user` 1F `fred.smith` 1F `Work`   keys of mailboxes.db since 3.6
 *
 * From cyrus-imapd 3.6.1, imap/mboxname.c: mbname_from_intname, mbname_intname, mbname_extname, mbname_dbname.
 */
import type { ByteString } from "../base/byte-string.ts";

export interface NameStyle {
  /** `unixhierarchysep`: `/` separates and a full stop is an ordinary character. */
  readonly unixHierarchySeparator: boolean;
  /** `virtdomains` is not off: what follows the last `@` of an external name is its domain. */
  readonly virtualDomains: boolean;
}

export interface NameParts {
  readonly domain: ByteString | undefined;
  /** With literal full stops. */
  readonly components: readonly ByteString[];
}

const DOMAIN_MARK = "\x1d";
const COMPONENT_MARK = "\x1f";

export function splitName(name: ByteString): NameParts {
  const mark = name.indexOf("!");
  return {
    domain: mark < 0 ? undefined : (name.slice(0, mark) as ByteString),
    components: name
      .slice(mark + 1)
      .split(".")
      .map((component) => component.replaceAll("^", ".") as ByteString),
  };
}

export function joinName({ domain, components }: NameParts): ByteString {
  const local = components.map((component) => component.replaceAll(".", "^")).join(".");
  return (domain === undefined ? local : `${domain}!${local}`) as ByteString;
}

export function nameFromDbname(dbname: ByteString): ByteString {
  // Without a domain and a literal full stop nothing but the separator differs.
  if (!/[.\x1d]/.test(dbname)) return dbname.replaceAll(COMPONENT_MARK, ".") as ByteString;
  const mark = dbname.indexOf(DOMAIN_MARK);
  return joinName({
    domain: mark < 0 ? undefined : (dbname.slice(0, mark) as ByteString),
    components: dbname.slice(mark + 1).split(COMPONENT_MARK) as ByteString[],
  });
}

export function dbnameOf(name: ByteString): ByteString {
  const { domain, components } = splitName(name);
  const local = components.join(COMPONENT_MARK);
  return (domain === undefined ? local : domain + DOMAIN_MARK + local) as ByteString;
}

/** As an administrator sees it, without altnamespace. The domain is always shown. */
export function externalName(name: ByteString, style: NameStyle): ByteString {
  const { domain, components } = splitName(name);
  const local = style.unixHierarchySeparator
    ? components.join("/")
    : components.map((component) => component.replaceAll(".", "^")).join(".");
  return (domain === undefined ? local : `${local}@${domain}`) as ByteString;
}

/** Undefined where no mailbox can have that external name (a `^` with unixhierarchysep, a `/` without). */
export function nameFromExternal(external: ByteString, style: NameStyle): ByteString | undefined {
  const at = style.virtualDomains ? external.lastIndexOf("@") : -1;
  const domain = at < 0 ? undefined : (external.slice(at + 1) as ByteString);
  const local = at < 0 ? external : external.slice(0, at);
  if (local.includes(style.unixHierarchySeparator ? "^" : "/")) return undefined;
  const components = style.unixHierarchySeparator
    ? local.split("/")
    : local.split(".").map((component) => component.replaceAll("^", "."));
  return joinName({ domain, components: components as ByteString[] });
}

export interface DeletedName {
  /** What the mailbox was called, its domain included. */
  readonly originalName: ByteString;
  /** Seconds since the epoch. */
  readonly deletedAt: number;
}

/**
 * `DELETED.user.fred.Foo.5F3A1B2C` taken apart; undefined for any other name.
 * @param prefix - the option `deletedprefix`.
 */
export function parseDeletedName(name: ByteString, prefix = "DELETED"): DeletedName | undefined {
  const mark = name.indexOf("!") + 1;
  if (!name.startsWith(`${prefix}.`, mark)) return undefined;
  const lastDot = name.lastIndexOf(".");
  const originalStart = mark + prefix.length + 1;
  const time = name.slice(lastDot + 1);
  if (lastDot <= originalStart || !/^[0-9A-Fa-f]{1,8}$/.test(time)) return undefined;
  return {
    originalName: (name.slice(0, mark) + name.slice(originalStart, lastDot)) as ByteString,
    deletedAt: Number.parseInt(time, 16),
  };
}

export function deletedName(original: ByteString, deletedAt: number, prefix = "DELETED"): ByteString {
  const mark = original.indexOf("!") + 1;
  const time = deletedAt.toString(16).toUpperCase();
  return `${original.slice(0, mark)}${prefix}.${original.slice(mark)}.${time}` as ByteString;
}

/**
 * Whose mailbox it is: `fred.smith`, `bob@example.com`. Undefined for shared mailboxes. A deleted mailbox belongs to
 * the user whose it was.
 */
export function userOf(name: ByteString, deletedPrefix = "DELETED"): ByteString | undefined {
  const original = parseDeletedName(name, deletedPrefix)?.originalName ?? name;
  const { domain, components } = splitName(original);
  const [top, user] = components;
  if (top !== "user" || user === undefined || user === "") return undefined;
  return (domain === undefined ? user : `${user}@${domain}`) as ByteString;
}

/** The internal name of a user's INBOX. @param user - `bob@example.com`: a domain only with `virtualDomains`. */
export function inboxOf(user: ByteString, virtualDomains: boolean): ByteString {
  const at = virtualDomains ? user.lastIndexOf("@") : -1;
  return joinName({
    domain: at < 0 ? undefined : (user.slice(at + 1) as ByteString),
    components: ["user" as ByteString, (at < 0 ? user : user.slice(0, at)) as ByteString],
  });
}

/**
 * Why a name from a mailbox list must not be turned into a path or shown as it is; undefined for a sound one.
 * Laxer than Cyrus (mboxname_policycheck), whose rules for new names old mailboxes break: only what could leave
 * the spool or deceive a terminal is refused.
 */
export function nameProblem(name: ByteString): string | undefined {
  if (name === "") return "it is empty";
  if (name.length > 1024) return "it is longer than 1024 bytes";
  if (/[\x00-\x1f\x7f]/.test(name)) return "it has a control character";
  if (name.includes("/")) return "it has a slash";
  const mark = name.indexOf("!");
  if (mark >= 0) {
    const domain = name.slice(0, mark);
    if (domain === "" || domain.startsWith(".") || domain.includes("..")) return "its domain is not sound";
  }
  if (
    name.startsWith(".", mark + 1) ||
    name.endsWith(".") ||
    name.length === mark + 1 ||
    name.includes("..", mark + 1)
  )
    return "it has an empty component";
  return undefined;
}
