/** What `analyze` can be asked for, and what it answers. The answer's shape is the interface of `--json`. */
import type { ByteString } from "../base/byte-string.ts";
import type { PathMapping } from "../source/view.ts";
import type { Compression } from "../store/codec.ts";
import type { RepeatedAttachment } from "./largest-attachments.ts";
import type { Amount } from "./part-census.ts";
import type { Interval } from "./sampling.ts";

export interface AnalyzeOptions {
  /** undefined: /etc/imapd.conf. */
  readonly config: ByteString | undefined;
  readonly root: ByteString;
  readonly mappings: readonly PathMapping[];
  readonly compression: Compression;
  /** Above 0, at most 1: so many of the different messages are read. */
  readonly share: number;
  /** How many repeated attachments are named. */
  readonly largest: number;
}

export const STEPS = [
  "source",
  "hard-links",
  "whole-files",
  "mime-parts",
  "base64",
  "large-parts",
  "compression",
] as const;
export type StepName = (typeof STEPS)[number];

export interface Step {
  readonly step: StepName;
  /** What is left after it. */
  readonly bytes: number;
  readonly saved: number;
  /** Of `bytes`, nominally 95 %; null where nothing is estimated. */
  readonly interval: Interval | null;
}

export interface AnalyzeResult {
  readonly mailboxes: number;
  /** Message files, and their bytes. */
  readonly messages: number;
  readonly bytes: number;
  /** null: every message was looked at. */
  readonly sample: { readonly share: number; readonly messages: number; readonly bytes: number } | null;
  /** Further names of one file, and their bytes. */
  readonly hardLinks: Amount;
  /** Files of their own with the content of another one. */
  readonly copies: Amount;
  readonly differentMessages: Amount;
  /** In different messages, decoded, from `bytesMin` on: smaller ones stay in their message. */
  readonly attachments: { readonly bytesMin: number; readonly all: Amount; readonly different: Amount };
  readonly steps: readonly Step[];
  readonly largest: {
    /** Attachments from this size on were followed. */
    readonly bytesMin: number;
    readonly attachments: readonly RepeatedAttachment[];
  };
  /** What is no message: databases, indexes, caches, scripts. */
  readonly otherFiles: Amount;
  readonly repository: {
    /** Messages and attachments, compressed. */
    readonly messages: number;
    /** Other files, and the pages of the manifest that name files, mailboxes and messages. */
    readonly records: number;
    /** Directories of packs, segments. */
    readonly bookkeeping: number;
    readonly total: number;
    readonly interval: Interval | null;
  };
  readonly problems: {
    /** Records of an index without a file. */
    readonly missing: number;
    /** Without a GUID in the index: such messages are read to be told apart. */
    readonly withoutGuid: number;
    /** Files that are not what their index says. */
    readonly guidMismatch: number;
    readonly unreadable: number;
  };
  readonly seconds: number;
}
