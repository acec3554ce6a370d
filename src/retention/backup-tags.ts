/** Tags and holds of backups: one small sealed file each, `tags/<backup id>`. Format: docs/formats/repository.md. */
import { isCyrvaultError } from "../base/errors.ts";
import { isBackupId } from "../manifest/backup-id.ts";
import { aCount, aString, listOf, optional } from "../manifest/json-fields.ts";
import { readSealedJson, type SealedPlace } from "../manifest/sealed-json.ts";
import type { Repository } from "../store/repository.ts";

export interface BackupTags {
  /** Sorted. */
  readonly tags: readonly string[];
  /** Why it must not be forgotten; undefined: it may be. */
  readonly hold: string | undefined;
}

const PREFIX = "tags/";
const PURPOSE = "tags";
const FILE_BYTES_MAX = 1024 * 1024;
const FORMAT = 1;

export const NO_TAGS: BackupTags = { tags: [], hold: undefined };

/** Of all backups that have any. @param onDamaged - told of a file that cannot be read; its backup then counts as held. */
export async function readAllTags(
  place: SealedPlace,
  onDamaged: (backup: string, reason: string) => void,
): Promise<Map<string, BackupTags>> {
  const all = new Map<string, BackupTags>();
  for await (const { name } of place.backend.list(PREFIX)) {
    const backup = name.slice(PREFIX.length);
    if (!isBackupId(backup)) continue;
    try {
      all.set(backup, await readTags(place, backup));
    } catch (error) {
      if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
      onDamaged(backup, error.message);
      all.set(backup, { tags: [], hold: "its tags cannot be read" });
    }
  }
  return all;
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export async function readTags(place: SealedPlace, backup: string): Promise<BackupTags> {
  const read = await readSealedJson(place, PREFIX + backup, PURPOSE, FILE_BYTES_MAX);
  if (read === undefined) return NO_TAGS;
  const { fields, at } = read;
  if (fields.read("format", aCount) !== FORMAT || fields.read("backup", aString) !== backup)
    throw at.wrong("the tags of this backup");
  return {
    tags: fields.read("tags", listOf(aString)),
    hold: fields.read("hold", optional(aString)),
  };
}

/** Whoever writes last wins. */
export async function writeTags(
  place: SealedPlace & Pick<Repository, "requireWritable">,
  backup: string,
  { tags, hold }: BackupTags,
): Promise<void> {
  place.requireWritable();
  const { backend, sealer } = place;
  const name = PREFIX + backup;
  if (tags.length === 0 && hold === undefined) {
    await backend.remove(name);
    return;
  }
  const fields = { format: FORMAT, backup, tags: [...new Set(tags)].sort(), hold };
  await backend.replace(name, sealer.sealNamed(PURPOSE, name, Buffer.from(JSON.stringify(fields), "utf8")));
}
