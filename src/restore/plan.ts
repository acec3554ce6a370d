/** What a restore would do: nothing is written here. `--dry-run` prints it, the run takes nothing else. */
import { readdirSync, readFileSync, statfsSync } from "node:fs";
import { type ByteString, fromText, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { lstatNs } from "../base/posix.ts";
import { contentSize } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";
import { normalise, parentOf } from "../source/view.ts";
import { LinkTable } from "./link-table.ts";
import type { RestoreOptions, RestorePlan } from "./options.ts";
import { findHolder } from "./running-cyrus.ts";
import { type ManifestPlace, RestoreSelection } from "./selection.ts";
import { TargetTree } from "./target-tree.ts";

/** A filesystem gives a file whole blocks, and an inode. */
const FILE_OVERHEAD_BYTES = 4096 / 2 + 256;

export interface PreparedRestore {
  readonly plan: RestorePlan;
  readonly root: ManifestRoot;
  readonly options: RestoreOptions;
  readonly selection: RestoreSelection;
  readonly tree: TargetTree;
  readonly links: LinkTable;
  readonly places: readonly ManifestPlace[];
}

/** @throws {CyrvaultError} `TARGET_REFUSED`, `USAGE`, `MAILBOX_NOT_FOUND`, `IO`. */
export async function planRestore(
  options: RestoreOptions,
  root: ManifestRoot,
  source: PageSource,
): Promise<PreparedRestore> {
  const places = root.roots.map(
    ({ kind, name, path }): ManifestPlace => ({ kind, name, path: fromText(path) }),
  );
  const selection = new RestoreSelection(options, root, places);
  // A file that is a root of its own comes back into its directory.
  const rootPaths = places.map(({ kind, path }) => (kind === "file" ? parentOf(path) : path));
  const tree = new TargetTree(options.target, options.mappings, [...new Set(rootPaths)]);
  const links = new LinkTable();
  const counts = { mailboxes: 0, messages: 0, files: 0, bytes: 0 };

  for await (const mailbox of readPageTree(root.mailboxes, source, mailboxPages)) {
    if (!selection.takesMailbox(mailbox)) continue;
    counts.mailboxes++;
    if (!selection.messagesOnly) {
      for (const { content } of mailbox.files) {
        if (content === undefined) continue;
        counts.files++;
        counts.bytes += contentSize(content);
      }
      counts.bytes += mailbox.bytes;
    }
    for await (const message of readPageTree(mailbox.messagePages, source, messagePages)) {
      if (!selection.takesMessage(message.uid)) continue;
      counts.messages++;
      links.note(filesystemOf(mailbox.partition, mailbox.directories[message.directory]?.role), message);
    }
  }
  if (options.mailboxes.length + options.users.length > 0 && counts.mailboxes === 0) {
    throw new CyrvaultError("MAILBOX_NOT_FOUND", "no mailbox of this backup is meant", {
      hint: `cyrvault ls ${root.backup} lists them; names are internal (user.anna.Work) or external (user/anna/Work)`,
    });
  }
  const wouldOverwrite: string[] = [];
  if (!selection.messagesOnly) {
    for await (const file of readPageTree(root.files, source, filePages)) {
      if (file.content === undefined || !selection.takesFile(file)) continue;
      counts.files++;
      counts.bytes += contentSize(file.content);
      const kind = selection.placeOf(file.path)?.kind;
      const there = kind === "file" || kind === "include" ? lstatNs(tree.locate(file.path)) : undefined;
      if (there !== undefined && there.size !== contentSize(file.content))
        wouldOverwrite.push(toText(tree.locate(file.path)));
    }
  }

  const resumes = isInterrupted(options.target, root.backup);
  const { free, needed } = space(tree, counts);
  return {
    plan: {
      backup: root.backup,
      ...counts,
      spaceNeeded: needed,
      spaceFree: free,
      roots: tree.roots.map(({ from, to }) => ({ from: toText(from), to: toText(to) })),
      resumes,
      wouldOverwrite,
    },
    root,
    options,
    selection,
    tree,
    links,
    places,
  };
}

/** Whether the plan may be carried out. @throws {CyrvaultError} `TARGET_REFUSED`, `NO_SPACE`. */
export function requireSafe({ plan, options, tree, places, selection }: PreparedRestore): void {
  const holder = findHolder(tree.roots.map(({ to }) => to).filter((to) => !isShared(to)));
  if (holder !== undefined) {
    throw new CyrvaultError(
      "TARGET_REFUSED",
      `cannot restore: a running program (${holder.command}, process ${holder.pid}) has ${holder.path} open`,
      {
        hint: "stop Cyrus and everything of its (cyr_expire, squatter), or restore into another directory",
      },
    );
  }
  if (options.overwrite === undefined && !plan.resumes) {
    const data = places.filter(({ kind }) => kind !== "file" && kind !== "include");
    for (const { path } of selection.everything ? data : []) {
      const to = tree.locate(path);
      if (!isEmpty(to)) {
        throw new CyrvaultError("TARGET_REFUSED", `cannot restore: ${toText(to)} is not empty`, {
          hint: "choose an empty place, or say --overwrite if-different (what differs becomes what the backup has) or --overwrite never (only what is missing comes)",
        });
      }
    }
    const [first] = plan.wouldOverwrite;
    if (first !== undefined) {
      throw new CyrvaultError(
        "TARGET_REFUSED",
        `cannot restore: ${first} is there already and differs from what is in the backup`,
        {
          hint: `${plan.wouldOverwrite.length} such files; --overwrite never leaves them, --overwrite if-different replaces them`,
        },
      );
    }
  }
  if (!plan.resumes && options.overwrite === undefined && plan.spaceNeeded > plan.spaceFree) {
    throw new CyrvaultError(
      "NO_SPACE",
      `cannot restore: about ${plan.spaceNeeded} bytes are needed and ${plan.spaceFree} are free`,
      {
        hint: "choose a target with more room, or restore a part (--only, --user, --mailbox)",
      },
    );
  }
}

/** Messages of one partition's data directory lie in one filesystem, those of its archive in another one. */
export function filesystemOf(partition: ByteString, role: string | undefined): string {
  return `${role ?? "data"}\0${partition}`;
}

export function journalPath(target: ByteString): ByteString {
  return joinPath(normalise(target), ".cyrvault-restore" as ByteString);
}

function isInterrupted(target: ByteString, backup: string): boolean {
  try {
    return readFileSync(toFsPath(journalPath(target)), "utf8").trim() === backup;
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return false;
    throw ioError(`cannot read ${toText(journalPath(target))}`, error);
  }
}

/** Places where other programs have every right to have files open. */
function isShared(path: ByteString): boolean {
  return path === "/" || path === "/etc" || path.startsWith("/etc/");
}

function isEmpty(path: ByteString): boolean {
  try {
    return readdirSync(toFsPath(path)).length === 0;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return true;
    if (systemCode(error) === "ENOTDIR")
      throw new CyrvaultError("TARGET_REFUSED", `cannot restore: ${toText(path)} is no directory`);
    throw ioError(`cannot look into ${toText(path)}`, error);
  }
}

function space(
  tree: TargetTree,
  counts: { readonly messages: number; readonly files: number; readonly bytes: number },
): { free: number; needed: number } {
  const needed = counts.bytes + (counts.messages + counts.files) * FILE_OVERHEAD_BYTES;
  // The roots may lie in several filesystems: each could hold all of it, or the restore is refused too early.
  let free = 0;
  const seen = new Set<string>();
  for (const { to } of tree.roots) {
    const stats = statfsOfExisting(to);
    const key = `${stats.type}:${stats.blocks}:${stats.files}`;
    if (seen.has(key)) continue;
    seen.add(key);
    free += Number(stats.bavail) * Number(stats.bsize);
  }
  return { free, needed };
}

function statfsOfExisting(path: ByteString): ReturnType<typeof statfsSync> {
  for (let current = path; ; current = parentOf(current)) {
    try {
      return statfsSync(toFsPath(current) as string);
    } catch (error) {
      if (systemCode(error) !== "ENOENT" || current === "/")
        throw ioError(`cannot look at ${toText(current)}`, error);
    }
  }
}
