/**
 * What a run holds of the machine: each thing is written down before it is taken, so that whatever happens to us the
 * next start (or the watchdog) knows what to give back.
 */
import type { ByteString } from "../base/byte-string.ts";

/** Enough to undo it with nothing else at hand. Undoing what is not there is no failure. */
export type HeldThing =
  /** A mount of ours, and the directory it was made at. */
  | { readonly kind: "mount"; readonly at: ByteString }
  | { readonly kind: "directory"; readonly at: ByteString }
  | { readonly kind: "lvm-snapshot"; readonly group: string; readonly name: string }
  | { readonly kind: "btrfs-snapshot"; readonly at: ByteString }
  /** `pool/dataset@name` each. */
  | { readonly kind: "zfs-snapshots"; readonly names: readonly string[] }
  /** A view that a command of the administrator's made. */
  | {
      readonly kind: "command-view";
      readonly remove: readonly string[];
      readonly environment: Readonly<Record<string, string>>;
    }
  /** Cyrus, stopped by us. */
  | {
      readonly kind: "stopped";
      readonly start: readonly string[];
      /** The server's imapd.conf; absent in what earlier versions wrote down. */
      readonly config?: ByteString;
    }
  /** A filesystem that takes no writes. */
  | { readonly kind: "frozen"; readonly at: ByteString };

export interface Holdings {
  /** Durably written down before `take` runs, and it stays so if that fails: it may have done half of it. */
  hold<T>(thing: HeldThing, take: () => Promise<T>): Promise<T>;
  /** Gives back one thing now. @throws {CyrvaultError} when it cannot be; it stays written down. */
  release(thing: HeldThing): Promise<void>;
  /** Gives back everything, the newest first, and goes on after a failure. @throws {CyrvaultError} naming what is left. */
  releaseAll(): Promise<void>;
}
