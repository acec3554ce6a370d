/** Backups, mailboxes and messages that suffer from an error: the first of each, and how many there are. */
import { toText } from "../base/byte-string.ts";
import type { Sufferer } from "../manifest/sufferers.ts";

export interface AffectedMailbox {
  readonly mailbox: string;
  /** As in IMAP: `3,7:9`. Ends with `,…` where there are more. */
  readonly uids: string;
  readonly total: number;
}

/** Lists are cut; the totals count all. */
export interface Affects {
  readonly backups: readonly string[];
  readonly backupsTotal: number;
  readonly mailboxes: readonly AffectedMailbox[];
  readonly mailboxesTotal: number;
  readonly files: readonly string[];
  readonly filesTotal: number;
  /** What cannot be named because the page that names it is lost. */
  readonly unnamed: readonly string[];
  /** Messages, each counted once however many backups hold it. */
  readonly total: number;
}

const UIDS_MAX = 1_000_000;
const RANGES_SHOWN = 100;
const FILES_KEPT = 10_000;

export class AffectsCollector {
  readonly #shown: number;
  readonly #backups = new Set<string>();
  readonly #mailboxes = new Map<string, Set<number>>();
  readonly #files = new Set<string>();
  readonly #unnamed = new Set<string>();
  /** Of pages that are lost: by mailbox, ranges of UIDs that are not known one by one. */
  readonly #ranges = new Map<string, Map<string, number>>();
  #uids = 0;

  /** @param shown - of each list. */
  constructor(shown: number) {
    this.#shown = shown;
  }

  get isEmpty(): boolean {
    return this.#backups.size === 0;
  }

  addBackup(backup: string): void {
    this.#backups.add(backup);
  }

  add(sufferer: Sufferer): void {
    if (sufferer.what === "file") {
      if (this.#files.size < FILES_KEPT) this.#files.add(toText(sufferer.path));
      return;
    }
    if (sufferer.what === "message") {
      const uids = this.#uidsOf(toText(sufferer.mailbox));
      if (this.#uids >= UIDS_MAX || uids.has(sufferer.uid)) return;
      uids.add(sufferer.uid);
      this.#uids++;
      return;
    }
    const { of, mailbox, entries, from, before } = sufferer;
    if (of === "messages" && mailbox !== undefined) {
      const name = toText(mailbox);
      this.#uidsOf(name);
      const ranges = this.#ranges.get(name) ?? new Map<string, number>();
      const last = typeof before === "number" ? String(before - 1) : "*";
      ranges.set(`${from ?? 1}:${last}`, entries);
      this.#ranges.set(name, ranges);
      return;
    }
    const first = from === undefined ? "" : ` from ${toText(String(from).replaceAll("\0", "/") as never)} on`;
    this.#unnamed.add(`${entries} ${of}${first}`);
  }

  result(): Affects {
    const mailboxes: AffectedMailbox[] = [];
    let total = 0;
    for (const [mailbox, uids] of [...this.#mailboxes].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const ranges = this.#ranges.get(mailbox) ?? new Map<string, number>();
      let count = uids.size;
      for (const entries of ranges.values()) count += entries;
      total += count;
      if (mailboxes.length >= this.#shown) continue;
      const parts = [...uidRanges(uids), ...ranges.keys()];
      const rest = parts.length > RANGES_SHOWN ? ",…" : "";
      mailboxes.push({ mailbox, uids: parts.slice(0, RANGES_SHOWN).join(",") + rest, total: count });
    }
    return {
      backups: [...this.#backups].sort().slice(0, this.#shown),
      backupsTotal: this.#backups.size,
      mailboxes,
      mailboxesTotal: this.#mailboxes.size,
      files: [...this.#files].sort().slice(0, this.#shown),
      filesTotal: this.#files.size,
      unnamed: [...this.#unnamed].sort().slice(0, this.#shown),
      total,
    };
  }

  #uidsOf(mailbox: string): Set<number> {
    const known = this.#mailboxes.get(mailbox);
    if (known !== undefined) return known;
    const uids = new Set<number>();
    this.#mailboxes.set(mailbox, uids);
    return uids;
  }
}

/** `3`, `7:9`. */
export function uidRanges(uids: Iterable<number>): string[] {
  const ranges: string[] = [];
  let from: number | undefined;
  let last = 0;
  const end = () => {
    if (from !== undefined) ranges.push(from === last ? String(from) : `${from}:${last}`);
  };
  for (const uid of [...uids].sort((a, b) => a - b)) {
    if (from === undefined || uid !== last + 1) {
      end();
      from = uid;
    }
    last = uid;
  }
  end();
  return ranges;
}
