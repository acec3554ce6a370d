/** Which mailboxes and files of a backup a restore is about. Pure. */
import { type ByteString, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { classifyFile, type FilePlace } from "../cyrus/file-class.ts";
import { userOf } from "../cyrus/mailbox-name.ts";
import { compileNamePattern, type NameMatcher } from "../cyrus/mailbox-name-pattern.ts";
import { quotaRootFromPath, userFromPath } from "../cyrus/mailbox-path.ts";
import { toModifiedUtf7 } from "../cyrus/modified-utf7.ts";
import { isExcludedEntry } from "../manifest/excluded-mailboxes.ts";
import type { FileEntry, MailboxEntry, ManifestRoot, RootRecord } from "../manifest/model.ts";
import { isTextDump } from "../manifest/text-dumps.ts";
import { isWithin, relativeTo } from "../source/view.ts";
import type { RestoreOptions, RestorePart } from "./options.ts";

export interface ManifestPlace {
  readonly kind: RootRecord["kind"];
  readonly name: string;
  /** As on the server. */
  readonly path: ByteString;
}

const PARTS: Readonly<
  Record<RestorePart["part"], (place: ManifestPlace, part: RestorePart, path: ByteString) => boolean>
> = {
  configdirectory: ({ kind }) => kind === "config",
  sieve: ({ kind }) => kind === "sieve",
  config: ({ kind }) => kind === "file" || kind === "include",
  "text-dumps": ({ kind }, _, path) => kind === "config" && isTextDump(path),
  "mailbox-list": ({ kind }, _, path) => kind === "config" && path.endsWith("/mailboxes.db"),
  partition: ({ kind, name }, part) =>
    kind.endsWith("partition") && part.part === "partition" && name === toText(part.name),
};

const FILE_PLACES: Readonly<Partial<Record<RootRecord["kind"], FilePlace>>> = {
  config: "config",
  partition: "partition",
  metapartition: "partition",
  archivepartition: "partition",
  sieve: "sieve",
};

interface AskedFor {
  readonly pattern: ByteString;
  readonly matches: NameMatcher;
}

export type SelectionOptions = Pick<RestoreOptions, "only" | "users" | "mailboxes" | "uids" | "excluded">;

export class RestoreSelection {
  readonly everything: boolean;
  readonly #options: SelectionOptions;
  readonly #root: ManifestRoot;
  readonly #places: readonly ManifestPlace[];
  readonly #patterns: readonly AskedFor[];
  readonly #users: ReadonlySet<ByteString>;
  /** uniqueids of the chosen users' INBOXes: their files lie under it in the uuid layout. */
  readonly #inboxes = new Set<ByteString>();
  /** Of users and mailboxes that were asked for: what no mailbox has been met for so far. */
  readonly #unmet = new Set<string>();
  /** Directories of mailboxes that are not to be there. */
  readonly #absent = new Set<ByteString>();

  constructor(options: SelectionOptions, root: ManifestRoot, places: readonly ManifestPlace[]) {
    this.#options = options;
    this.#root = root;
    this.#places = places;
    this.#patterns = options.mailboxes.map((pattern) => ({ pattern, matches: compileNamePattern(pattern) }));
    for (const user of options.users) this.#unmet.add(userKey(user));
    for (const { pattern } of this.#patterns) this.#unmet.add(patternKey(pattern));
    this.#users = new Set(options.users);
    this.everything =
      options.only.length === 0 && options.users.length === 0 && options.mailboxes.length === 0;
    if (options.uids !== undefined && options.mailboxes.length === 0) {
      throw new CyrvaultError("USAGE", "--uid needs --mailbox: UIDs count within one mailbox");
    }
    for (const part of options.only) {
      if (
        part.part === "partition" &&
        !places.some(({ kind, name }) => kind === "partition" && name === toText(part.name))
      ) {
        throw new CyrvaultError("USAGE", `this backup has no partition ${toText(part.name)}`, {
          hint: `it has ${places
            .filter(({ kind }) => kind === "partition")
            .map(({ name }) => name)
            .join(", ")}`,
        });
      }
    }
  }

  /** Mailboxes come before files: the chosen users' INBOXes tell where their files lie. */
  takesMailbox(entry: MailboxEntry): boolean {
    const user = userOf(entry.name, this.#root.cyrus.layout["deletedPrefix"] ?? "DELETED");
    const byUser = user !== undefined && this.#users.has(user);
    if (byUser) this.#unmet.delete(userKey(user));
    if (byUser && entry.uniqueid !== undefined) this.#inboxes.add(entry.uniqueid);
    const named = this.#patterns.filter(({ matches }) => matches(entry.name));
    for (const { pattern } of named) this.#unmet.delete(patternKey(pattern));
    if (this.#options.excluded === "absent" && isExcludedEntry(this.#root, entry.name)) {
      for (const { path } of entry.directories) this.#absent.add(path);
      return false;
    }
    return (
      this.everything ||
      byUser ||
      named.length > 0 ||
      this.#options.only.some((part) => part.part === "partition" && part.name === entry.partition)
    );
  }

  /** What was asked for by name, and no mailbox has been met for. Known when all mailboxes have been looked at. */
  get absent(): { readonly users: readonly string[]; readonly mailboxes: readonly string[] } {
    const isUnmet = (key: string) => this.#unmet.has(key);
    const users = this.#options.users.filter((user) => isUnmet(userKey(user)));
    const patterns = this.#options.mailboxes.filter((pattern) => isUnmet(patternKey(pattern)));
    return {
      users: users.map(toText),
      mailboxes: [...new Map(patterns.map((pattern) => [patternKey(pattern), toText(pattern)])).values()],
    };
  }

  takesFile(entry: FileEntry): boolean {
    if (this.#absent.has(entry.path)) return false;
    if (this.everything) return true;
    const place = this.placeOf(entry.path);
    if (place === undefined) return false;
    const relative = relativeTo(entry.path, place.path);
    return this.#takesPart(place, entry.path) || this.#isOfUser(place, relative);
  }

  /** The text mailbox list goes with the database that it is made of. */
  get takesMailboxList(): boolean {
    const { only } = this.#options;
    return this.everything || only.some(({ part }) => part === "mailbox-list" || part === "configdirectory");
  }

  /** Why a file must not come back, though the backup has it: it would do harm. */
  neverRestored(path: ByteString): string | undefined {
    const place = this.placeOf(path);
    const filePlace = place === undefined ? undefined : FILE_PLACES[place.kind];
    if (place === undefined || filePlace === undefined) return undefined;
    const { neverRestore, reason } = classifyFile(filePlace, relativeTo(path, place.path));
    return neverRestore ? reason : undefined;
  }

  get messagesOnly(): boolean {
    return this.#options.uids !== undefined;
  }

  takesMessage(uid: number): boolean {
    return this.#options.uids?.has(uid) ?? true;
  }

  /** The innermost root that holds a path. */
  placeOf(path: ByteString): ManifestPlace | undefined {
    let best: ManifestPlace | undefined;
    for (const place of this.#places) {
      if (isWithin(path, place.path) && place.path.length >= (best?.path.length ?? 0)) best = place;
    }
    return best;
  }

  #takesPart(place: ManifestPlace, path: ByteString): boolean {
    return this.#options.only.some((part) => PARTS[part.part](place, part, path));
  }

  /** Seen state, subscriptions and the like, and sieve scripts. */
  #isOfUser(place: ManifestPlace, relative: ByteString): boolean {
    if (this.#users.size === 0) return false;
    if (place.kind === "config") {
      const file = userFromPath(relative);
      if (file?.layout === "uuid") return this.#inboxes.has(file.inboxUniqueid);
      if (file !== undefined) return this.#isUser(file.user);
      const quotaRoot = quotaRootFromPath(relative);
      const owner = quotaRoot === undefined ? undefined : userOf(quotaRoot);
      return owner !== undefined && this.#users.has(owner);
    }
    if (place.kind !== "sieve") return false;
    const parts = relative.split("/") as ByteString[];
    if (parts[0] === "uuid") return parts[3] !== undefined && this.#inboxes.has(parts[3]);
    const [user, domain] = parts[0] === "domain" ? [parts[4], parts[2]] : [parts[1], undefined];
    if (user === undefined) return false;
    return this.#isUser((domain === undefined ? user : `${user}@${domain}`) as ByteString);
  }

  /** @param inPath - where old versions write `^` for a full stop. */
  #isUser(inPath: ByteString): boolean {
    return this.#users.has(inPath) || this.#users.has(inPath.replaceAll("^", ".") as ByteString);
  }
}

function userKey(user: ByteString): string {
  return `user ${user}`;
}

/** A name may be given as it was typed and as Cyrus keeps it: one of the two is enough. */
function patternKey(pattern: ByteString): string {
  return `mailbox ${toModifiedUtf7(toText(pattern))}`;
}
