/** Numbers that stand for names in pages. In bytes of pages: never renumber. */
import type { ByteReader } from "../base/bytes.ts";
import type { DirectoryRole, FileClass } from "./model.ts";

const FILE_CLASSES: readonly FileClass[] = ["critical", "derivable", "expensive", "disposable"];
const ROLES: readonly DirectoryRole[] = ["data", "archive", "meta"];

/** Of files, in mailboxes and elsewhere. The two lowest bits are the class. */
export const FILE_FLAGS = {
  content: 4,
  target: 8,
  racy: 16,
  leftOut: 32,
  mailboxSaid: 64,
  mailbox: 128,
} as const;

export function fileClassBits(fileClass: FileClass): number {
  return FILE_CLASSES.indexOf(fileClass);
}

export function fileClassFrom(flags: number): FileClass {
  return FILE_CLASSES[flags & 3] as FileClass;
}

export function roleByte(role: DirectoryRole): number {
  return ROLES.indexOf(role);
}

export function readRole(reader: ByteReader): DirectoryRole {
  const role = ROLES[reader.u8()];
  if (role === undefined) throw reader.damaged("a directory has an unknown role");
  return role;
}
