/**
 * Under which id a backup stands from which something has been cut. It follows from the id of the one in whose place it
 * stands, so that a repair that broke off before it forgot that one does not make a second.
 */
import { createHash } from "node:crypto";
import { equalBytes } from "../base/bytes.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { newBackupId } from "../manifest/backup-id.ts";
import { contentEquals } from "../manifest/content.ts";
import type { Content, ManifestRoot, PageTree } from "../manifest/model.ts";
import { decodeRoot } from "../manifest/root.ts";
import { forgottenName } from "../store/forgotten.ts";
import type { Repository } from "../store/repository.ts";

export interface PlaceOfCut {
  readonly backup: string;
  /** It stands there already, with the same content. */
  readonly isThere: boolean;
}

/** @param old - the backup in whose place `cut` is to stand. */
export async function placeOfCut(
  repository: Repository,
  cut: ManifestRoot,
  old: string,
): Promise<PlaceOfCut> {
  for (let n = 0; ; n++) {
    const random = createHash("sha256").update(`cyrvault cut\0${old}\0${n}`).digest().subarray(0, 4);
    const backup = newBackupId(cut.startedMs, random);
    // One that somebody has forgotten may be brought back: it keeps its id.
    if ((await repository.backend.size(forgottenName(backup))) !== undefined) continue;
    const there = await rootOf(repository, backup);
    if (there === "none") return { backup, isThere: false };
    if (there !== "unreadable" && hasSameContent(there, cut)) return { backup, isThere: true };
  }
}

async function rootOf(repository: Repository, backup: string): Promise<ManifestRoot | "none" | "unreadable"> {
  try {
    return decodeRoot(await repository.readBackup(backup));
  } catch (error) {
    if (isCyrvaultError(error, "BACKUP_NOT_FOUND")) return "none";
    if (isCyrvaultError(error, "REPOSITORY_DAMAGED")) return "unreadable";
    throw error;
  }
}

/** All but when and how it was cut. */
function hasSameContent(a: ManifestRoot, b: ManifestRoot): boolean {
  return (
    isSameTree(a.files, b.files) &&
    isSameTree(a.mailboxes, b.mailboxes) &&
    isSameContent(a.mailboxList, b.mailboxList)
  );
}

function isSameTree({ page: a }: PageTree, { page: b }: PageTree): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}

function isSameContent(a: Content | undefined, b: Content | undefined): boolean {
  return a === undefined || b === undefined ? a === b : contentEquals(a, b);
}
