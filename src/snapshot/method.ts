/** The two choices of a cut: how the view is taken, and what holds Cyrus meanwhile. Every pair is valid. */
import type { ByteString } from "../base/byte-string.ts";
import type { PathMapping } from "../source/view.ts";
import type { Holdings } from "./held.ts";

/** Where the server's places lie now. */
export interface TakenView {
  readonly root: ByteString;
  readonly mappings: readonly PathMapping[];
  /** The moment of the view, or the first one of several; undefined: nobody knows better than the clock at the start. */
  readonly cutMs: number | undefined;
  /** Of all filesystems at one moment. */
  readonly isAtomic: boolean;
  /** Why it may be torn from the first, which somebody allowed. */
  readonly torn: string | undefined;
  /** Refuses when what is read can no longer be trusted (a snapshot that overflowed). Asked now and then, and before the commit. */
  check(): Promise<void>;
}

/** What is to be held still: the places of a server as they are on it, links resolved. */
export interface Places {
  readonly roots: readonly ByteString[];
  /** Where the repository (if it is local) and our cache lie. */
  readonly ours: readonly ByteString[];
}

export interface Provider {
  readonly name: "none" | "lvm" | "btrfs" | "zfs" | "command";
  /** Nothing else has to stand still while the backup reads: Cyrus may go on as soon as the view is taken. */
  readonly isFrozen: boolean;
  /** Changes nothing. @returns what would be done, a line each. @throws {CyrvaultError} for what cannot work. */
  plan(places: Places): Promise<readonly string[]>;
  /** After `plan`, once. @param signal - whoever takes long gives it up then. */
  take(places: Places, holdings: Holdings, signal?: AbortSignal): Promise<TakenView>;
}

export interface Quiesce {
  readonly name: "none" | "stop" | "withlock" | "freeze";
  /** Changes nothing. @returns what would be done, a line each. @throws {CyrvaultError} for what cannot work. */
  plan(places: Places): Promise<readonly string[]>;
  /** Cyrus holds still when it returns, and that was verified as well as can be. @param signal - whoever waits for others gives it up then. */
  begin(places: Places, holdings: Holdings, signal?: AbortSignal): Promise<void>;
  /** Aborted when Cyrus had to go on before `end`: what is read from then on was not held still. */
  readonly letGo?: AbortSignal;
  /** Cyrus goes on. Called once, also after a failure. */
  end(holdings: Holdings): Promise<QuiesceReport>;
}

export interface QuiesceReport {
  /** How long Cyrus was held. */
  readonly heldMs: number;
  /** Why what was read meanwhile may be torn after all; undefined: it held. */
  readonly broken: string | undefined;
  /** Who worked through the mailboxes while the view was taken, and was not waited for to the end. */
  readonly busy?: string;
}
