/** The records of a mailbox, and of the files that belong to none, as a backup would keep them. */

import { createHash } from "node:crypto";
import { type ByteString, fromText, joinPath } from "../base/byte-string.ts";
import { classifyFile, type FilePlace } from "../cyrus/file-class.ts";
import type { MailboxFile, PageTree } from "../manifest/model.ts";
import { listDirectory } from "../source/list-directory.ts";
import { lstatSource } from "../source/read-file.ts";
import { holdsMailboxes, outermostRoots, type RootKind, type ServerRoot } from "../source/roots.ts";
import type { ManifestMeter } from "./manifest-meter.ts";
import type { MailboxPlace } from "./places.ts";
import { draw } from "./sampling.ts";
import type { Tally } from "./tally.ts";

/** What an entry of the mailbox list adds: about as long as an ACL of one user. */
const TYPICAL_ACL = fromText("someone\tlrswipkxtecdan\t");
const PLACES: Partial<Record<RootKind, FilePlace>> = { config: "config", sieve: "sieve" };
/** Files so near the root of the configdirectory (databases of the whole server) are never left to chance. */
const CERTAIN_DEPTH = 1;

/** Cyrus's own files of a mailbox, and its entry. Counts them as other files. */
export async function measureMailboxRecords(
  place: MailboxPlace,
  meter: ManifestMeter,
  messagePages: PageTree,
  counts: { readonly messages: number; readonly bytes: number },
): Promise<{ files: number; bytes: number }> {
  const files: MailboxFile[] = [];
  let bytes = 0;
  for (const [directory, { realPath, listing }] of place.directories.entries()) {
    for (const name of listing.files) {
      const { fileClass } = classifyFile("mailbox", name);
      if (fileClass === "disposable" || fileClass === "expensive") continue;
      const captured = await meter.content(name, joinPath(realPath, name));
      if (captured === undefined) continue;
      files.push({ directory, name, fileClass, racy: false, ...captured });
      bytes += captured.stat.size;
    }
  }
  const digest = createHash("sha1").update(place.relative, "latin1").digest();
  await meter.mailbox({
    name: `${place.partition}.${place.relative}` as ByteString,
    uniqueid: fromText(digest.toString("hex", 0, 12)),
    partition: place.partition,
    mailboxType: fromText("e"),
    acl: TYPICAL_ACL,
    quotaRoot: undefined,
    listed: true,
    uidvalidity: digest.readUInt32BE(16),
    lastUid: counts.messages,
    highestModseq: BigInt(counts.messages),
    generation: 1,
    indexVersion: 17,
    messages: counts.messages,
    bytes: counts.bytes,
    directories: place.directories.flatMap(({ role, path, realPath }) => {
      const found = lstatSource(realPath);
      return found === undefined ? [] : [{ role, path, stat: found.stat }];
    }),
    files: files.sort((a, b) => a.directory - b.directory || (a.name < b.name ? -1 : 1)),
    messagePages,
    openFindings: 0,
    racy: false,
    rules: 0,
  });
  return { files: files.length, bytes };
}

/** Files that belong to no mailbox: the configdirectory, sieve scripts, files that are named one by one. */
export class SiteRecords {
  readonly #tally: Tally;
  readonly #meter: ManifestMeter;
  readonly #onItem: () => Promise<void>;

  constructor(tally: Tally, meter: ManifestMeter, onItem: () => Promise<void>) {
    this.#tally = tally;
    this.#meter = meter;
    this.#onItem = onItem;
  }

  async measure(roots: readonly ServerRoot[]): Promise<void> {
    for (const root of outermostRoots(roots)) {
      if (holdsMailboxes(root) || root.kind === "search") continue;
      await this.#visit(root, root.path, root.realPath, "" as ByteString, 0, roots);
    }
  }

  async #visit(
    root: ServerRoot,
    path: ByteString,
    realPath: ByteString,
    relative: ByteString,
    depth: number,
    roots: readonly ServerRoot[],
  ): Promise<void> {
    const found = lstatSource(realPath);
    if (found === undefined || (found.type !== "file" && found.type !== "directory")) return;
    const { fileClass } = classifyFile(PLACES[root.kind] ?? "other", relative);
    if (relative !== "" && (fileClass === "disposable" || fileClass === "expensive")) return;
    if (depth > 0 && roots.some((other) => other.path === path && holdsMailboxes(other))) return;
    await this.#onItem();
    if (found.type === "directory") {
      await this.#meter.file({ path, stat: found.stat, fileClass, racy: false });
      const listing = listDirectory(realPath, "none");
      for (const name of [...(listing?.directories ?? []), ...(listing?.files ?? [])])
        await this.#visit(
          root,
          joinPath(path, name),
          joinPath(realPath, name),
          joinPath(relative, name),
          depth + 1,
          roots,
        );
      return;
    }
    const { size } = found.stat;
    this.#tally.otherFiles++;
    this.#tally.otherBytes += size;
    this.#tally.siteBytes += size;
    const hash = createHash("sha1").update(path, "latin1").digest();
    if (depth > CERTAIN_DEPTH && !draw(hash, this.#tally.share).chosen) return;
    const captured = await this.#meter.content(path.slice(path.lastIndexOf("/") + 1) as ByteString, realPath);
    if (captured === undefined) return;
    this.#tally.siteBytesRead += size;
    await this.#meter.file({ path, fileClass, racy: false, ...captured });
  }
}
