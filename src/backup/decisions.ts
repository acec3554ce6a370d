/** What is kept, what is left out and why; which mailboxes are read though nothing seems to have changed. */
import { createHash } from "node:crypto";
import { type ByteString, fromText, joinPath } from "../base/byte-string.ts";
import { classifyByOption, classifyFile, type FilePlace, type FileVerdict } from "../cyrus/file-class.ts";
import type { ServerLayout } from "../cyrus/imapd-conf-layout.ts";
import { DATABASES } from "../cyrus/imapd-conf-options.ts";
import { compileNamePattern, type NameMatcher } from "../cyrus/mailbox-name-pattern.ts";
import { type MessageFilter, messageFilter } from "../manifest/message-filter.ts";
import { isOwnSnapshot } from "../source/own-snapshot.ts";
import type { RootKind, ServerRoot } from "../source/roots.ts";
import { baseName, normalise } from "../source/view.ts";
import { keepOfList } from "./list-only.ts";
import type { PlacedTask } from "./mailbox-tasks.ts";
import type { BackupOptions } from "./options.ts";
import { SpecialUse } from "./special-use.ts";
import type { Keep } from "./survey.ts";

/** What is kept of an excluded mailbox, so that it can be restored without its mail. */
const KEPT_OF_EXCLUDED: ReadonlySet<string> = new Set(["cyrus.header", "cyrus.index"]);

/** Its entry is another one than that of the same mailbox when it is not excluded. */
const RULES_OF_EXCLUDED = 0x5a5a_5a5a;

/** Part of `rules`: raise it when an entry would be made differently from the same files. */
const ENTRY_RULES_VERSION = 1;

const PLACES: Readonly<Record<RootKind, FilePlace>> = {
  config: "config",
  partition: "partition",
  metapartition: "partition",
  archivepartition: "partition",
  sieve: "sieve",
  search: "search",
  file: "other",
  include: "other",
};

const DAY_MS = 86_400_000;

export class Decisions {
  readonly #rules: number;
  readonly #options: BackupOptions;
  readonly #excluded: readonly NameMatcher[];
  /** Verdicts on places that an option of imapd.conf names. */
  readonly #named = new Map<ByteString, FileVerdict>();
  readonly #day: number;
  readonly #specialUse: SpecialUse;
  readonly #listPath: ByteString | undefined;
  /** Whether a message is left out; undefined: none is. */
  readonly leavesOut: MessageFilter | undefined;

  constructor(options: BackupOptions, layout: ServerLayout, nowMs: number, specialUse?: SpecialUse) {
    this.#options = options;
    this.#listPath = layout.databases.mailboxes.path;
    this.#specialUse = specialUse ?? new SpecialUse(layout.deletedPrefix);
    this.leavesOut = messageFilter(options.filter ?? {}, nowMs);
    this.#excluded = options.excludeMailboxes.map((pattern) => compileNamePattern(fromText(pattern)));
    this.#day = Math.floor(nowMs / DAY_MS);
    for (const { name, pathOption } of DATABASES) {
      const { path, configured } = layout.databases[name];
      if (path !== undefined && configured) this.#named.set(normalise(path), classifyByOption(pathOption));
    }
    this.#named.set(normalise(layout.procPath), classifyByOption("proc_path"));
    this.#named.set(normalise(layout.lockPath), classifyByOption("mboxname_lockpath"));
    const { withoutDerivable, withSearch } = options;
    const { excludeLarger, excludeOlderMs } = options.filter ?? {};
    // What is not asked for is not in it: entries of before there were filters are taken over.
    const digest = createHash("sha256").update(
      JSON.stringify({ withoutDerivable, withSearch, v: ENTRY_RULES_VERSION, excludeLarger, excludeOlderMs }),
    );
    this.#rules = digest.digest().readUInt32BE(0);
  }

  /** A file or directory outside of mailboxes, by its path from its root. */
  decide(root: ServerRoot, relative: ByteString): Keep {
    if (isOwnSnapshot(baseName(relative)))
      return { fileClass: "disposable", leftOut: "a snapshot that a backup takes, or has left" };
    if (this.#options.only !== undefined) return keepOfList(this.#listPath, root, relative);
    const named = this.#named.get(joinPath(root.path, relative));
    return this.#keep(named ?? classifyFile(PLACES[root.kind], relative));
  }

  /** A file of a mailbox that is no message. */
  keepFile(name: ByteString): Keep {
    return this.#keep(classifyFile("mailbox", name));
  }

  /** False: no mailbox need be asked about. */
  get mayExclude(): boolean {
    return this.#excluded.length > 0 || !this.#specialUse.isEmpty;
  }

  /** The option that leaves a mailbox's mail out. */
  excludedBy({ name, list }: Pick<PlacedTask, "name" | "list">): string | undefined {
    if (this.#excluded.some((matches) => matches(name))) return "--exclude-mailbox";
    return this.#specialUse.has(name, list?.uniqueid) ? "--exclude-special-use" : undefined;
  }

  /** A mailbox's entry made under another number is made anew. */
  rulesOf(task: Pick<PlacedTask, "name" | "list">): number {
    return this.excludes(task) ? (this.#rules ^ RULES_OF_EXCLUDED) >>> 0 : this.#rules;
  }

  excludes(task: Pick<PlacedTask, "name" | "list">): boolean {
    return this.mayExclude && this.excludedBy(task) !== undefined;
  }

  /** Of an excluded mailbox, instead of `keepFile`. */
  keepOfExcluded(name: ByteString): Keep {
    const keep = this.keepFile(name);
    if (KEPT_OF_EXCLUDED.has(name) || keep.leftOut !== undefined) return keep;
    return { ...keep, leftOut: "mailbox excluded" };
  }

  /** Whether everything of the mailbox is read in this run. A share takes other mailboxes each day, and all in turn. */
  scrub(mailbox: ByteString): boolean {
    const { scrub } = this.#options;
    if (scrub <= 0) return false;
    if (scrub >= 1) return true;
    const shares = Math.round(1 / scrub);
    const share = createHash("sha256").update(mailbox, "latin1").digest().readUInt32BE(0) % shares;
    return share === this.#day % shares;
  }

  #keep({ fileClass, reason }: FileVerdict): Keep {
    const { withoutDerivable, withSearch } = this.#options;
    if (fileClass === "disposable") return { fileClass, leftOut: reason };
    if (fileClass === "expensive" && !withSearch)
      return { fileClass, leftOut: `${reason} (--with-search keeps it)` };
    if (fileClass === "derivable" && withoutDerivable)
      return { fileClass, leftOut: `${reason} (--without-derivable)` };
    return { fileClass, leftOut: undefined };
  }
}
