/** `--excluded absent`: the mailbox list comes back without the names of mailboxes that are not there. */
import { type ByteString, fromText, joinPath, toText } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { readDatabase } from "../cyrus/database.ts";
import { encodeFlat } from "../cyrus/flat.ts";
import { mailboxListStyle } from "../cyrus/mailbox-list.ts";
import { withoutMailboxes } from "../cyrus/mailbox-list-without.ts";
import { encodeTwoskip } from "../cyrus/twoskip-encode.ts";
import { contentSize, readContent } from "../manifest/content.ts";
import { excludedNames } from "../manifest/excluded-mailboxes.ts";
import type { FileEntry, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import type { IndexContent } from "./left-out-index.ts";
import type { RestoreOptions } from "./options.ts";

/** The list is made anew in memory, some three times its size: of some 200,000 mailboxes. */
const LIST_BYTES_MAX = 64 * 1024 * 1024;

export class AbsentNames {
  readonly #names: ReadonlySet<string>;
  readonly #places: ReadonlySet<ByteString>;
  readonly #source: PageSource;
  #isDone = false;

  constructor(root: ManifestRoot, source: PageSource, { excluded }: Pick<RestoreOptions, "excluded">) {
    this.#names = new Set(excluded === "absent" ? excludedNames(root, true) : []);
    this.#places = placesOfList(root);
    this.#source = source;
  }

  /** The list that was written has none of the names: nothing is left to do. */
  get areTakenOut(): boolean {
    return this.#isDone;
  }

  /**
   * @returns what is written in the place of a file; undefined: the file as it is stored. So it is where nothing is
   *   absent, and where we cannot write what the server reads: engines but twoskip and flat, a damaged list, a very
   *   long one. Then the runbook says how to do it.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED`, `OBJECT_MISSING`.
   */
  async contentFor({ path, content }: FileEntry): Promise<IndexContent | undefined> {
    if (this.#names.size === 0 || !this.#places.has(path)) return undefined;
    if (content === undefined || contentSize(content) > LIST_BYTES_MAX) return undefined;
    const parts: Uint8Array[] = [];
    for await (const part of readContent(content, this.#source)) parts.push(part);
    const bytes = this.#without(Buffer.concat(parts));
    if (bytes === undefined) return undefined;
    this.#isDone = true;
    return async function* () {
      yield bytes;
    };
  }

  #without(list: Buffer): Buffer | undefined {
    try {
      const reading = readDatabase(list);
      if (!reading.readable || reading.damage.length > 0) return undefined;
      const { records, engine } = reading;
      const kept = withoutMailboxes(records, mailboxListStyle(records), (name) =>
        this.#names.has(toText(name)),
      );
      if (engine === "twoskip") return encodeTwoskip(kept);
      return engine === "flat" ? encodeFlat(kept) : undefined;
    } catch (error) {
      if (isCyrvaultError(error, "CYRUS_BAD_FORMAT") || isCyrvaultError(error, "CYRUS_BAD_CHECKSUM"))
        return undefined;
      throw error;
    }
  }
}

/**
 * Where the server has it, as configured and below the configdirectory as it was found (symbolic links may lie between).
 * Copies of it, as Cyrus keeps them in `db.backup1` and `db.backup2`, come back as they were.
 */
function placesOfList({ cyrus, roots }: ManifestRoot): ReadonlySet<ByteString> {
  const configured = cyrus.layout["mailboxList"];
  if (configured === undefined) return new Set();
  const list = fromText(configured);
  const name = list.slice(list.lastIndexOf("/") + 1) as ByteString;
  const config = roots.filter(({ kind }) => kind === "config");
  return new Set([list, ...config.map(({ path }) => joinPath(path, name))]);
}
