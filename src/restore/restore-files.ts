/** Files of a restore that are no messages, and symlinks. */
import type { ByteString } from "../base/byte-string.ts";
import { readContent } from "../manifest/content.ts";
import type { Content, FileEntry } from "../manifest/model.ts";
import type { Attributes } from "./attributes.ts";
import { FileLinks } from "./file-links.ts";
import type { IndexContent } from "./left-out-index.ts";
import type { RestoreUnderWay } from "./run-context.ts";
import { writeFile, writeLink, writeSymlink } from "./write-file.ts";

export class FileRestorer {
  readonly #underWay: RestoreUnderWay;
  readonly #links: FileLinks;

  constructor(underWay: RestoreUnderWay) {
    this.#underWay = underWay;
    this.#links = new FileLinks(underWay.prepared.selection);
  }

  /**
   * @param path - real; its directory is there.
   * @param instead - what is written in its place; undefined: what is stored.
   */
  async restore(
    serverPath: ByteString,
    path: ByteString,
    { stat, content, target }: Pick<FileEntry, "stat" | "content" | "target">,
    instead?: () => Promise<IndexContent | undefined>,
  ): Promise<void> {
    const { account, existing, owners } = this.#underWay;
    const attributes = owners.attributes(stat);
    if (target !== undefined) {
      account.findings.addOutcome(serverPath, writeSymlink(path, target, attributes, existing));
      return;
    }
    if (content === undefined) {
      account.findings.addNotInBackup(serverPath);
      return;
    }
    const linked = this.#links.find(serverPath, content, stat);
    const outcome = linked !== undefined && writeLink(linked, path, existing);
    if (outcome !== false) {
      account.noteOutcome(serverPath, outcome);
      account.count("files", 0);
      return;
    }
    if (await this.#write(serverPath, path, content, attributes, stat.size, instead))
      this.#links.written(serverPath, path, content, stat);
  }

  /** @returns false: it is damaged, or what was there was left as it was. */
  async #write(
    serverPath: ByteString,
    path: ByteString,
    content: Content,
    attributes: Attributes,
    size: number,
    instead: (() => Promise<IndexContent | undefined>) | undefined,
  ): Promise<boolean> {
    const { account, context, existing } = this.#underWay;
    const outcome = await account.guarded(serverPath, async () => {
      const changed = await instead?.();
      return await writeFile(
        path,
        changed ?? (() => readContent(content, context.source)),
        attributes,
        existing,
      );
    });
    if (outcome === undefined) return false;
    account.noteWritten(serverPath, outcome, attributes.mode);
    account.count("files", size);
    return outcome.became !== "kept";
  }
}
