/**
 * A sample server: what its generator knows of it between two days, kept in `sample-state.json` beside the server's own
 * directories, and the files that concern more than one mailbox.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ByteString, fromText } from "../base/byte-string.ts";
import { encodeMailboxList } from "../cyrus/mailbox-list-encode.ts";
import type { MailboxListEntry } from "../cyrus/mailbox-list-entry.ts";
import { deletedName } from "../cyrus/mailbox-name.ts";
import { encodeTwoskip } from "../cyrus/twoskip-encode.ts";
import { annotationRecords, encodeCounters, type SampleAnnotation } from "./database-values.ts";
import { moveDirectory, replaceFile, writeFile } from "./disk.ts";
import { type SampleLayout, ServerLayout } from "./layout.ts";
import type { Letter } from "./letter.ts";
import { listEntry, mailboxAnnotations, renameMailbox, type SampleMailbox, tombstone } from "./mailbox.ts";
import type { HeaderForm, MailboxFiles } from "./mailbox-files.ts";

export interface SampleParameters {
  /** Same parameters, same content on every machine. Times of files other than messages are those of writing. */
  readonly seed: number;
  readonly users: number;
  /** The INBOX counts. */
  readonly foldersPerUser: number;
  /** On the whole server, expunged ones included. */
  readonly messages: number;
  readonly layout: SampleLayout;
  /** The mail's first day. */
  readonly startMs: number;
  /** Over how many days the mail came in. */
  readonly days: number;
  /** Share of all bytes that attachments have, 0 to below 1. */
  readonly attachmentShare: number;
  /**
   * Of the decoded bytes of all parts, each message file counted once whatever its names: in parts that have occurred
   * before. 0 to below 1; what is left after the copies has to be in attachments, so few of these may not be enough.
   */
  readonly repetition: number;
  /** Of that: in files that equal another one. 0 to 1, with `copyShare` at most 1. */
  readonly wholeFileShare: number;
  /** Of that: in further copies of a letter, with other headers. The rest: in other letters. */
  readonly copyShare: number;
  /** Of all further copies of letters: those that are names of a file that is there already. 0 to below 1. */
  readonly linkedShare: number;
  /** 1: attachments as large as in a corporate mail store, 230 KB on average. */
  readonly documentScale: number;
  /** 1: texts as long as in a corporate mail store. */
  readonly textScale: number;
  readonly headerForm: HeaderForm;
  /** What stands before the paths in imapd.conf; undefined: the server's directory. Empty, where `--root` names it. */
  readonly pathPrefix?: string;
}

export interface SampleUser {
  readonly number: number;
  readonly id: ByteString;
  readonly inbox: ByteString;
  readonly inboxId: ByteString;
  highestModseq: number;
  folderModseq: number;
  uidValidity: number;
}

/** A letter that others may have got too. */
export interface RecentLetter {
  readonly letter: Letter;
  /** The file that all who got it in one delivery share. */
  shared: { readonly path: string; readonly partition: string; readonly archived: boolean } | undefined;
  /** To one user each, so far. */
  deliveries: number;
}

/** Decoded bytes of parts, each message file once: how far the server has got with what its parameters ask for. */
export interface Repeated {
  total: number;
  wholeFile: number;
  copy: number;
  other: number;
}

export interface SampleCounts {
  readonly users: number;
  readonly mailboxes: number;
  /** Not expunged. */
  readonly messages: number;
  readonly bytes: number;
}

interface State {
  readonly parameters: SampleParameters;
  readonly users: SampleUser[];
  readonly mailboxes: SampleMailbox[];
  readonly tombstones: MailboxListEntry[];
  readonly recent: RecentLetter[];
  readonly repeated: Repeated;
  /** Numbers of documents below 0 that have occurred. */
  readonly circulating: number[];
  sharedModseq: number;
  day: number;
  next: { readonly letter: number; readonly document: number };
}

const STATE_FILE = "sample-state.json";
const DAY_SECONDS = 86_400;
export class SampleServer {
  readonly directory: string;
  readonly layout: ServerLayout;
  readonly state: State;

  private constructor(directory: string, state: State) {
    this.directory = directory;
    this.state = state;
    this.layout = new ServerLayout(directory, state.parameters.layout);
  }

  /** Nothing is written. */
  static empty(directory: string, parameters: SampleParameters): SampleServer {
    return new SampleServer(directory, {
      parameters,
      users: [],
      mailboxes: [],
      tombstones: [],
      recent: [],
      repeated: { total: 0, wholeFile: 0, copy: 0, other: 0 },
      circulating: [],
      sharedModseq: 1,
      day: 0,
      next: { letter: 1, document: 1 },
    });
  }

  /** One that `save` left in this directory. */
  static open(directory: string): SampleServer {
    return new SampleServer(
      directory,
      JSON.parse(readFileSync(join(directory, STATE_FILE), "utf8"), reviveBigint),
    );
  }

  save(): void {
    writeFile(join(this.directory, STATE_FILE), JSON.stringify(this.state, packBigint));
  }

  get configPath(): string {
    return this.layout.path("etc/imapd.conf");
  }

  /** Absolute paths of the directories that hold the server. */
  get roots(): string[] {
    return this.layout.roots.map((root) => this.layout.path(root));
  }

  get counts(): SampleCounts {
    const { users, mailboxes } = this.state;
    return {
      users: users.length,
      mailboxes: mailboxes.length,
      messages: mailboxes.reduce((sum, { exists }) => sum + exists, 0),
      bytes: mailboxes.reduce((sum, { usedBytes }) => sum + usedBytes, 0),
    };
  }

  /** Seconds since 1970: the end of the last day that was generated. */
  get now(): number {
    const { startMs, days } = this.state.parameters;
    return Math.floor(startMs / 1000) + (days + this.state.day) * DAY_SECONDS;
  }

  /** The modseq of a change to this mailbox. */
  nextModseq(mailbox: SampleMailbox): number {
    const user = mailbox.owner === undefined ? undefined : this.state.users[mailbox.owner];
    return user === undefined ? ++this.state.sharedModseq : ++user.highestModseq;
  }

  /** The newest modseq that a mailbox of this owner has got. */
  highestModseq({ owner }: SampleMailbox): number {
    const user = owner === undefined ? undefined : this.state.users[owner];
    return user?.highestModseq ?? this.state.sharedModseq;
  }

  /** Another name, as RENAME gives it. Only for a mailbox without children. @param files - opened, not yet committed. */
  rename(files: MailboxFiles, name: ByteString, now: number): void {
    const { mailbox } = files;
    const before = this.layout.mailboxDirectories(mailbox);
    const modseq = this.nextModseq(mailbox);
    const formerName = mailbox.name;
    renameMailbox(mailbox, name, modseq, now);
    const user = mailbox.owner === undefined ? undefined : this.state.users[mailbox.owner];
    if (user !== undefined) user.folderModseq = modseq;
    this.state.tombstones.push(tombstone(mailbox, formerName));
    files.commit(modseq);
    const after = this.layout.mailboxDirectories(mailbox);
    for (const kind of ["messages", "meta", "archive"] as const) {
      const [from, to] = [before[kind], after[kind]];
      if (from !== undefined && to !== undefined && from !== to) moveDirectory(from, to);
    }
  }

  /** Delayed: it goes on under DELETED. */
  delete(files: MailboxFiles, now: number): void {
    const { mailbox } = files;
    mailbox.quotaRoot = undefined;
    mailbox.role = "deleted";
    this.rename(files, deletedName(mailbox.name, now), now);
  }

  writeConfiguration(): void {
    const prefix = this.state.parameters.pathPrefix ?? this.directory;
    writeFile(this.configPath, this.layout.imapdConf(prefix));
    writeFile(this.layout.path("etc/cyrus.conf"), this.layout.cyrusConf());
  }

  /** The databases of the whole server, and a few that every server has and no backup needs. */
  writeDatabases(): void {
    const { mailboxes, tombstones, sharedModseq } = this.state;
    const conf = (name: string) => this.layout.path("conf", name);
    const list = encodeMailboxList([...mailboxes.map(listEntry), ...tombstones]);
    replaceFile(conf("mailboxes.db"), encodeTwoskip(list, this.state.day + 1));
    replaceFile(
      conf("annotations.db"),
      encodeTwoskip(annotationRecords(this.#annotations()), this.state.day + 1),
    );
    replaceFile(
      conf("shared.counters"),
      encodeCounters(sharedModseq, sharedModseq, Math.floor(this.state.parameters.startMs / 1000)),
    );
    const delivered = { key: Buffer.from(`<${this.now}@example.com>\0user.none\0`), value: Buffer.alloc(8) };
    replaceFile(conf("deliver.db"), encodeTwoskip([delivered]));
    replaceFile(conf("tls_sessions.db"), encodeTwoskip([]));
    replaceFile(conf("user_deny.db"), Buffer.alloc(0));
  }

  #annotations(): SampleAnnotation[] {
    const annotations: SampleAnnotation[] = [];
    const add = (subject: ByteString, entry: string, user: string, value: string) =>
      annotations.push({ subject, entry: fromText(entry), user: fromText(user), value });
    add(fromText(""), "/comment", "", "A sample server");
    for (const mailbox of this.state.mailboxes)
      for (const { entry, user, value } of mailboxAnnotations(mailbox))
        add(mailbox.uniqueId, entry, user, value);
    return annotations;
  }
}

function packBigint(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? { bigint: String(value) } : value;
}

function reviveBigint(_key: string, value: unknown): unknown {
  const packed = value as { readonly bigint?: unknown } | null;
  return typeof packed === "object" && typeof packed?.bigint === "string" ? BigInt(packed.bigint) : value;
}
