/** Damaged files are not deleted: they are copied below `damaged/`, then removed from their place. */
import type { Backend } from "../backend/backend.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";

export const DAMAGED_PREFIX = "damaged/";
const STRETCH_BYTES = 1024 * 1024;
const ATTEMPTS_MAX = 100;

/** @returns the copy's name; undefined: there is no such file. @throws {CyrvaultError} `IO`: it cannot be read as a whole. */
export async function copyAside(backend: Backend, name: string): Promise<string | undefined> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const to = DAMAGED_PREFIX + name + (attempt === 1 ? "" : `-${attempt}`);
    const bytes = await backend.size(name);
    if (bytes === undefined) return undefined;
    const there = await backend.size(to);
    if (there !== undefined) {
      if (there === bytes && (await isSame(backend, name, to, bytes))) return to;
      continue;
    }
    const writer = await backend.begin(to);
    try {
      for (let offset = 0; offset < bytes; offset += STRETCH_BYTES) {
        const stretch = await backend.readRange(name, offset, Math.min(STRETCH_BYTES, bytes - offset));
        if (stretch === undefined) throw new CyrvaultError("IO", `${name} has gone while it was copied`);
        await writer.append(stretch);
      }
      await writer.commit();
    } catch (error) {
      await writer.abort();
      if (isCyrvaultError(error, "NAME_EXISTS")) continue;
      throw error;
    }
    if (await isSame(backend, name, to, bytes)) return to;
    throw new CyrvaultError("IO", `${name} cannot be copied: the copy is not the same`);
  }
  throw new CyrvaultError("IO", `there are too many copies of ${name} in ${DAMAGED_PREFIX}`);
}

async function isSame(backend: Backend, one: string, other: string, bytes: number): Promise<boolean> {
  for (let offset = 0; offset < bytes; offset += STRETCH_BYTES) {
    const length = Math.min(STRETCH_BYTES, bytes - offset);
    const a = await backend.readRange(one, offset, length);
    const b = await backend.readRange(other, offset, length);
    if (a === undefined || b === undefined || !a.equals(b)) return false;
  }
  return true;
}

/** @returns false: there is no such file. */
export async function setAside(backend: Backend, name: string): Promise<boolean> {
  if ((await copyAside(backend, name)) === undefined) return false;
  return await backend.remove(name);
}
