/** Small sealed JSON files of a repository that a backup does not consist of: accepted findings, tags. */
import type { Repository } from "../store/repository.ts";
import { JsonFields, JsonPlace } from "./json-fields.ts";

export type SealedPlace = Pick<Repository, "backend" | "sealer">;

/**
 * @param name - of the file. @param purpose - as it was sealed.
 * @returns undefined: there is none.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`.
 */
export async function readSealedJson(
  { backend, sealer }: SealedPlace,
  name: string,
  purpose: string,
  bytesMax: number,
): Promise<{ readonly fields: JsonFields; readonly at: JsonPlace } | undefined> {
  const sealed = await backend.read(name, bytesMax);
  if (sealed === undefined) return undefined;
  const at = new JsonPlace(name);
  let value: unknown;
  try {
    value = JSON.parse(sealer.openNamed(purpose, name, sealed).toString("utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw at.wrong("JSON");
  }
  return { fields: new JsonFields(value, at), at };
}
