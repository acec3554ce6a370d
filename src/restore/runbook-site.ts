/**
 * The names that a runbook's commands are made of: this site's paths, below the target of the restore, as they must be
 * typed. Everything foreign is quoted for a shell here, and nowhere else.
 */
import { fromText, toText } from "../base/byte-string.ts";
import { externalName } from "../cyrus/mailbox-name.ts";
import type { ManifestRoot } from "../manifest/model.ts";

export interface SiteOptions {
  readonly root: ManifestRoot;
  /** `/`, or the directory that the server's paths were made again below. */
  readonly target: string;
  /** Where Cyrus's tools lie. Debian's directory unless said. */
  readonly tools?: string;
  /** `cyrus:mail` unless said. */
  readonly owner?: { readonly user: string; readonly group: string };
}

export class RunbookSite {
  /** Restored to the places where the server has its files. */
  readonly inPlace: boolean;
  readonly user: string;
  readonly group: string;
  readonly #root: ManifestRoot;
  readonly #prefix: string;
  readonly #tools: string;

  constructor({ root, target, tools = "/usr/lib/cyrus/bin", owner }: SiteOptions) {
    this.#root = root;
    this.#prefix = target.replace(/\/+$/, "");
    this.inPlace = this.#prefix === "";
    this.#tools = tools;
    this.user = owner?.user ?? "cyrus";
    this.group = owner?.group ?? "mail";
  }

  /** A path of the server, below the target. */
  at(serverPath: string): string {
    return `${this.#prefix}${serverPath}`;
  }

  get target(): string {
    return this.inPlace ? "/" : this.#prefix;
  }

  /** As the server has it. */
  get imapdConf(): string {
    return this.#root.cyrus.layout["config"] ?? "/etc/imapd.conf";
  }

  /** The configuration that commands are given: beside a server it is one with changed paths. */
  get workingConf(): string {
    return this.at(this.imapdConf) + (this.inPlace ? "" : ".here");
  }

  get cyrusConf(): string {
    const kept = this.#root.roots.find(({ kind, path }) => kind === "file" && path.endsWith("/cyrus.conf"));
    return this.at(kept === undefined ? this.imapdConf.replace(/[^/]*$/, "cyrus.conf") : toText(kept.path));
  }

  get configDirectory(): string {
    const config = this.#root.roots.find(({ kind }) => kind === "config");
    return this.at(config === undefined ? "/var/lib/cyrus" : toText(config.path));
  }

  /** `mailboxes.db`, wherever imapd.conf has it. */
  get mailboxList(): string {
    const { mailboxList } = this.#root.cyrus.layout;
    return mailboxList === undefined ? `${this.configDirectory}/mailboxes.db` : this.at(mailboxList);
  }

  /** Directories of these kinds, in the order of imapd.conf. */
  directories(...kinds: readonly string[]): string[] {
    return this.#root.roots
      .filter(({ kind }) => kinds.includes(kind))
      .map(({ path }) => this.at(toText(path)));
  }

  /** One of Cyrus's tools, run as its user. @param args - quoted already. */
  tool(name: string, ...args: readonly string[]): string {
    return [
      "runuser -u",
      shell(this.user),
      "--",
      shell(`${this.#tools}/${name}`),
      "-C",
      shell(this.workingConf),
      ...args,
    ].join(" ");
  }

  get toolDirectory(): string {
    return this.#tools;
  }

  /** As `reconstruct`, `quota` and cyradm take it. */
  external(mailbox: string): string {
    const { layout } = this.#root.cyrus;
    return toText(
      externalName(fromText(mailbox), {
        unixHierarchySeparator: layout["unixHierarchySep"] === "true",
        virtualDomains: layout["virtDomains"] !== undefined && layout["virtDomains"] !== "off",
      }),
    );
  }
}

/** One word for bash: as it is where that is safe, else quoted; control characters and the like as escapes. */
export function shell(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (/^[\x20-\x7e\u00a1-\u00ac\u00ae-\u024f]+$/.test(word)) return `'${word.replaceAll("'", "'\\''")}'`;
  const bytes = [...Buffer.from(word, "utf8")];
  const escaped = bytes.map((byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  return `$'${escaped.join("")}'`;
}

/** For an extended regular expression of grep or sed. */
export function regexp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
