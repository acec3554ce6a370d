/**
 * Which Cyrus a backup came from, as far as its files tell, and what that version's tools can do.
 *
 * A server says its version nowhere in its data. The style of the mailbox list and the newest cyrus.index give the
 * oldest version that can have written both: versions and what they write are from cyrus-imapd, imap/mailbox.h
 * (MAILBOX_MINOR_VERSION) and imap/mboxlist.c, release by release.
 */
import type { MailboxListStyle } from "../cyrus/mailbox-list-entry.ts";

export type VersionFamily = "2.4" | "2.5" | "3.0-3.4" | "3.6" | "3.8-3.12" | "3.13+" | "unknown";

const OLDEST_FIRST = ["2.4", "2.5", "3.0-3.4", "3.6", "3.8-3.12", "3.13+"] as const;

const BY_LIST_STYLE: Readonly<Record<MailboxListStyle, VersionFamily>> = {
  text: "2.4",
  dlist: "2.5",
  "dlist-by-id": "3.6",
};

/** Newest index version that the family's first release writes. 3.8 writes 17 as 3.4 and 3.6 do. */
const BY_INDEX_VERSION: readonly (readonly [versionMax: number, family: VersionFamily])[] = [
  [12, "2.4"],
  [13, "2.5"],
  [17, "3.0-3.4"],
  [19, "3.8-3.12"],
  [Number.POSITIVE_INFINITY, "3.13+"],
];

/**
 * Both are lower bounds (a newer version leaves old files as they are), so the newer of the two decides. A 3.0 that
 * nobody told from 2.5 counts as 2.5, a 3.8 as 3.6.
 */
export function versionFamily(known: {
  readonly listStyle?: MailboxListStyle;
  /** Highest version of any cyrus.index; 0 for none that could be read. */
  readonly maxIndexVersion?: number;
}): VersionFamily {
  const { listStyle, maxIndexVersion = 0 } = known;
  const families: VersionFamily[] = [];
  if (listStyle !== undefined) families.push(BY_LIST_STYLE[listStyle]);
  const byIndex = BY_INDEX_VERSION.find(([versionMax]) => maxIndexVersion <= versionMax)?.[1];
  if (maxIndexVersion > 0 && byIndex !== undefined) families.push(byIndex);
  return OLDEST_FIRST.findLast((family) => families.includes(family)) ?? "unknown";
}

/** What a runbook has to know about a version. For an unknown one: what no version lacks. */
export interface VersionTraits {
  /** For people. */
  readonly label: string;
  /** `cyr_info version` (3.2; counted from 3.6). */
  readonly printsVersion: boolean;
  /** `ctl_conversationsdb` (3.0). */
  readonly conversations: boolean;
  /** `dav_reconstruct` (2.5). */
  readonly dav: boolean;
  /** Search by xapian (3.0); squat indexes in all. */
  readonly xapian: boolean;
  /** Mailboxes by uniqueid: `reconstruct -P`, JSON text lists, a place in the list that is found by uniqueid (3.6). */
  readonly byUniqueid: boolean;
  /** `ctl_mboxlist -v` sees no mailbox in the uuid layout. Observed on 3.6.1. */
  readonly verifyIsBlind: boolean;
  /** Delivery compiles a script whose bytecode is missing (imap/lmtp_sieve.c, from 3.6). */
  readonly compilesSieve: boolean;
  /** Whether this is known, and not only what is safe to say of any version. */
  readonly known: boolean;
}

export function traitsOf(family: VersionFamily): VersionTraits {
  const rank = (OLDEST_FIRST as readonly string[]).indexOf(family);
  const from = (first: VersionFamily) => rank >= (OLDEST_FIRST as readonly string[]).indexOf(first);
  return {
    label: LABELS[family],
    printsVersion: from("3.6"),
    conversations: from("3.0-3.4"),
    dav: from("2.5"),
    xapian: from("3.0-3.4"),
    byUniqueid: from("3.6"),
    verifyIsBlind: family === "3.6",
    compilesSieve: from("3.6"),
    known: family !== "unknown",
  };
}

const LABELS: Readonly<Record<VersionFamily, string>> = {
  "2.4": "2.4 or older",
  "2.5": "2.5 (or 3.0, which cannot be told from it)",
  "3.0-3.4": "3.0 to 3.4",
  "3.6": "3.6 (or 3.8, which cannot be told from it)",
  "3.8-3.12": "3.8 to 3.12",
  "3.13+": "3.13 or newer",
  unknown: "unknown",
};
