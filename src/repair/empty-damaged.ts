/** What repairs have set aside, and its removal: nothing in the repository refers to it. */
import type { Backend } from "../backend/backend.ts";
import { DAMAGED_PREFIX } from "./set-aside.ts";

export interface DamagedFile {
  readonly name: string;
  readonly bytes: number;
}

/** Sorted by name. */
export async function listDamaged(backend: Backend): Promise<DamagedFile[]> {
  const files: DamagedFile[] = [];
  for await (const { name, bytes } of backend.list(DAMAGED_PREFIX)) files.push({ name, bytes });
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @param plan - of `listDamaged`: what has come since stays. */
export async function removeDamaged(backend: Backend, plan: readonly DamagedFile[]): Promise<void> {
  for (const { name } of plan) await backend.remove(name);
}
