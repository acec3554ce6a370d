/**
 * Findings that somebody has accepted, for a server: one sealed file, `accepted/<32 hex>`, which every later backup
 * of that server goes by. Format: docs/formats/repository.md.
 */
import { toHex } from "../base/bytes.ts";
import { formatAcceptRule, parseAcceptRule } from "../manifest/accept-rules.ts";
import { aCount, aString, listOf } from "../manifest/json-fields.ts";
import { readSealedJson, type SealedPlace } from "../manifest/sealed-json.ts";
import type { Repository } from "../store/repository.ts";

type WritablePlace = SealedPlace & Pick<Repository, "requireWritable">;

const PREFIX = "accepted/";
const PURPOSE = "accepted";
const FILE_BYTES_MAX = 4 * 1024 * 1024;
const FORMAT = 1;

/** Sorted. None where nobody has accepted anything. @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export async function readAcceptRules(place: SealedPlace, server: string): Promise<readonly string[]> {
  if (!place.sealer.mayRead) return [];
  const read = await readSealedJson(place, nameFor(place.sealer, server), PURPOSE, FILE_BYTES_MAX);
  if (read === undefined) return [];
  const { fields, at } = read;
  if (fields.read("format", aCount) !== FORMAT || fields.read("server", aString) !== server)
    throw at.wrong("the accepted findings of this server");
  return fields.read("rules", listOf(aString));
}

/**
 * @param rules - `CODE` or `CODE:PATH`.
 * @returns all rules of the server.
 * @throws {CyrvaultError} `USAGE`: not a rule.
 */
export async function addAcceptRules(
  place: WritablePlace,
  server: string,
  rules: readonly string[],
): Promise<readonly string[]> {
  const { backend, sealer } = place;
  place.requireWritable();
  const added = rules.map((rule) => formatAcceptRule(parseAcceptRule(rule)));
  const all = [...new Set([...(await readAcceptRules(place, server)), ...added])].sort();
  const name = nameFor(sealer, server);
  const json = Buffer.from(JSON.stringify({ format: FORMAT, server, rules: all }), "utf8");
  await backend.replace(name, sealer.sealNamed(PURPOSE, name, json));
  return all;
}

/** Keyed where there is a key: who sees the names of files does not learn those of servers. */
function nameFor(sealer: Repository["sealer"], server: string): string {
  return PREFIX + toHex(sealer.mac(PURPOSE, Buffer.from(server, "utf8")).subarray(0, 16));
}
