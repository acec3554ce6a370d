/** Times for which pruning is held off, because somebody copies the repository. Format: docs/formats/repository.md. */
import { CyrvaultError } from "../../base/errors.ts";
import { aCount, aString } from "../../manifest/json-fields.ts";
import { readSealedJson } from "../../manifest/sealed-json.ts";
import { newTimedId, timeOfId } from "../../store/backup-files.ts";
import type { Repository } from "../../store/repository.ts";

export const HOLDS_PREFIX = "holds/";
const PURPOSE = "hold";
const FILE_BYTES_MAX = 65_536;
const FORMAT = 1;

export interface Hold {
  readonly id: string;
  readonly reason: string;
  readonly atMs: number;
  readonly untilMs: number;
}

type Place = Pick<Repository, "backend" | "sealer">;

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export async function readHolds(place: Place): Promise<Hold[]> {
  const ids: string[] = [];
  for await (const { name } of place.backend.list(HOLDS_PREFIX)) {
    const id = name.slice(HOLDS_PREFIX.length);
    if (timeOfId(id) !== undefined) ids.push(id);
  }
  const holds: Hold[] = [];
  for (const id of ids.sort()) {
    const read = await readSealedJson(place, HOLDS_PREFIX + id, PURPOSE, FILE_BYTES_MAX);
    if (read === undefined) continue;
    const { fields, at } = read;
    if (fields.read("format", aCount) !== FORMAT || fields.read("hold", aString) !== id)
      throw at.wrong("this hold");
    const hold = {
      id,
      reason: fields.read("reason", aString),
      atMs: fields.read("atMs", aCount),
      untilMs: fields.read("untilMs", aCount),
    };
    holds.push(hold);
  }
  return holds;
}

/** A hold that seems to be of the future was written under another clock: it still lasts. */
export function isInForce({ atMs, untilMs }: Hold, nowMs: number): boolean {
  return nowMs < untilMs || atMs > nowMs;
}

/** @throws {CyrvaultError} `LOCKED`: until when, and why. */
export async function requireNoHold(place: Place, nowMs: number): Promise<void> {
  const [hold] = (await readHolds(place))
    .filter((one) => isInForce(one, nowMs))
    .sort((a, b) => b.untilMs - a.untilMs);
  if (hold === undefined) return;
  throw new CyrvaultError(
    "LOCKED",
    `pruning is held off until ${new Date(hold.untilMs).toISOString()}: ${hold.reason}`,
    { hint: "`cyrvault prune --release` takes it back", context: { hold: hold.id } },
  );
}

export async function writeHold(
  place: Place,
  { nowMs, forMs, reason }: { readonly nowMs: number; readonly forMs: number; readonly reason: string },
): Promise<Hold> {
  const id = newTimedId(nowMs);
  const hold = { id, reason, atMs: nowMs, untilMs: nowMs + forMs };
  const { atMs, untilMs } = hold;
  const json = JSON.stringify({ format: FORMAT, hold: id, reason, atMs, untilMs });
  const name = HOLDS_PREFIX + id;
  await place.backend.create(name, place.sealer.sealNamed(PURPOSE, name, Buffer.from(json, "utf8")));
  return hold;
}

export async function removeHold(place: Pick<Repository, "backend">, id: string): Promise<boolean> {
  return await place.backend.remove(HOLDS_PREFIX + id);
}
