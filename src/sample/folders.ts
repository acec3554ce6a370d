/** Which folders a user has. Names are internal: a letter beyond ASCII is in modified UTF-7 (RFC 3501, 5.1.3). */
import { type ByteString, fromText } from "../base/byte-string.ts";
import type { SampleLayout } from "./layout.ts";
import type { MailboxRole } from "./mailbox.ts";
import type { Random } from "./random.ts";
import { pickWord } from "./words.ts";

export interface FolderPlan {
  /** Below the INBOX; empty for the INBOX itself. */
  readonly path: string;
  readonly role: MailboxRole;
  /** How much mail it gets, compared with others. */
  readonly weight: number;
}

const STANDARD: readonly (readonly [path: string, role: MailboxRole, weight: number])[] = [
  ["", "inbox", 8],
  ["Sent", "sent", 4],
  ["Trash", "trash", 0.6],
  ["Gr&APYA3w-e", "folder", 1],
  ["Drafts", "drafts", 0.1],
  ["Junk", "junk", 0.5],
  ["Archive", "archive", 3],
  ["R&AOk-unions", "folder", 1],
  ["Projects", "folder", 1],
  ["Projects.&ZeVnLIqe-", "folder", 0.5],
  ["Old letters", "folder", 1],
];

/** A full stop inside a name: only where `/` separates (`unixhierarchysep`). */
const DOTTED = "Version 2^5";

/** The first `count` folders of a user, the INBOX first. The last one of every third user stays empty. */
export function folderPlans(random: Random, count: number, layout: SampleLayout): FolderPlan[] {
  const plans: FolderPlan[] = [];
  for (let i = 0; i < count; i++) {
    const [path, role, weight] = STANDARD[i] ?? [extraName(random, i, layout), "folder", 1];
    plans.push({ path, role, weight: weight * random.logNormal(1, 0.9) });
  }
  const last = plans.at(-1);
  if (last !== undefined && count > 3 && random.chance(1 / 3)) plans[count - 1] = { ...last, weight: 0 };
  return plans;
}

export function folderName(inbox: ByteString, path: string): ByteString {
  return path === "" ? inbox : fromText(`${inbox}.${path}`);
}

function extraName(random: Random, index: number, layout: SampleLayout): string {
  if (index === STANDARD.length && layout === "uuid") return DOTTED;
  const word = pickWord(random);
  return `Projects.${word.charAt(0).toUpperCase()}${word.slice(1)}-${index}`;
}
