/** Makes a whole sample server on disk. */
import { mkdirSync } from "node:fs";
import { type ByteString, fromText } from "../base/byte-string.ts";
import { inboxOf } from "../cyrus/mailbox-name.ts";
import { ATTACHMENT_SHARE, COPY_SHARE, LINKED_SHARE, REPETITION, WHOLE_FILE_SHARE } from "./calibration.ts";
import { Deliverer } from "./deliver.ts";
import { type FolderPlan, folderName, folderPlans } from "./folders.ts";
import type { PartitionName } from "./layout.ts";
import { type MailboxRole, type SampleMailbox, USER_FLAGS } from "./mailbox.ts";
import { MailboxFiles } from "./mailbox-files.ts";
import { userPerson } from "./people.ts";
import { Random } from "./random.ts";
import { type SampleParameters, SampleServer, type SampleUser } from "./sample-server.ts";
import { hasQuota, mailboxesByOwner, writeUserFiles } from "./user-files.ts";

export interface GenerateProgress {
  readonly mailboxesDone: number;
  readonly mailboxes: number;
}

const DEFAULTS: SampleParameters = {
  seed: 1,
  users: 8,
  foldersPerUser: 6,
  messages: 400,
  layout: "uuid",
  startMs: Date.UTC(2025, 0, 6),
  days: 90,
  attachmentShare: ATTACHMENT_SHARE,
  repetition: REPETITION,
  wholeFileShare: WHOLE_FILE_SHARE,
  copyShare: COPY_SHARE,
  linkedShare: LINKED_SHARE,
  documentScale: 1,
  textScale: 1,
  headerForm: "dlist",
};

const SHARED_FOLDERS = ["board", "board.minutes"];
const SHARED_WEIGHT = 2;
const SECOND_PARTITION_EVERY = 8;
const OWNER_RIGHTS = fromText("lrswipkxtecdan");
/** One user in so many has deleted a folder. */
const DELETED_EVERY = 10;
const COMMENT_EVERY = 40;

/**
 * Writes below `directory`, which is made; what is there already is in the way. Synchronous, and nothing is synced to
 * disk. Memory does not grow with the number of messages, only with that of mailboxes.
 */
export function generateServer(
  directory: string,
  parameters: Partial<SampleParameters> = {},
  onProgress: (progress: GenerateProgress) => void = () => {},
): SampleServer {
  const all = { ...DEFAULTS, ...parameters };
  checkParameters(all);
  const server = SampleServer.empty(directory, all);
  for (const root of [
    ...server.layout.roots,
    "run/lock",
    "run/proc",
    "run/socket",
    "conf/lock",
    "spool/stage.",
  ])
    mkdirSync(server.layout.path(root), { recursive: true });
  server.writeConfiguration();
  new ServerFiller(server).fill(onProgress);
  server.writeDatabases();
  server.save();
  return server;
}

interface PlannedMailbox {
  readonly plan: FolderPlan;
  readonly mailbox: SampleMailbox;
}

class ServerFiller {
  readonly #server: SampleServer;
  readonly #random: Random;
  readonly #deliverer: Deliverer;
  readonly #startSeconds: number;
  readonly #usersWithDeleted = new Set<number>();

  constructor(server: SampleServer) {
    const { seed, startMs } = server.state.parameters;
    this.#server = server;
    this.#random = new Random(seed, 0x5e4e);
    this.#deliverer = new Deliverer(server, new Random(seed, 0xde11));
    this.#startSeconds = Math.floor(startMs / 1000);
  }

  fill(onProgress: (progress: GenerateProgress) => void): void {
    const { parameters, mailboxes } = this.#server.state;
    const planned = [...this.#planShared(), ...this.#planUsers()];
    const weights = planned.reduce((sum, { plan }) => sum + plan.weight, 0);
    let weight = 0;
    let given = 0;
    for (const [index, { plan, mailbox }] of planned.entries()) {
      weight += plan.weight;
      const due = Math.round((parameters.messages * weight) / weights);
      mailboxes.push(mailbox);
      this.#fillMailbox(mailbox, due - given, index);
      given = due;
      if (index % 100 === 99) onProgress({ mailboxesDone: index + 1, mailboxes: planned.length });
    }
    const byOwner = mailboxesByOwner(mailboxes);
    for (const user of this.#server.state.users)
      writeUserFiles(this.#server, user, byOwner.get(user.number) ?? [], byOwner.get(undefined) ?? []);
  }

  #fillMailbox(mailbox: SampleMailbox, messages: number, index: number): void {
    const server = this.#server;
    const directories = server.layout.mailboxDirectories(mailbox);
    const files = MailboxFiles.create(
      mailbox,
      directories,
      this.#startSeconds,
      server.state.parameters.headerForm,
    );
    if (messages > 0) {
      this.#deliverer.deliver(files, messages, { from: this.#startSeconds, until: server.now }, true);
      if (index % COMMENT_EVERY === 1) files.comment(files.lastUid, "to be answered");
    }
    if (this.#isToBeDeleted(mailbox)) server.delete(files, server.now - 3600);
    else files.commit(server.highestModseq(mailbox));
  }

  /** The first folder without children of every tenth user. */
  #isToBeDeleted({ owner, role, name }: SampleMailbox): boolean {
    if (owner === undefined || owner % DELETED_EVERY !== 1 || role !== "folder") return false;
    if (name.endsWith(".Projects") || this.#usersWithDeleted.has(owner)) return false;
    this.#usersWithDeleted.add(owner);
    return true;
  }

  #planShared(): PlannedMailbox[] {
    return SHARED_FOLDERS.map((path) => {
      const name = fromText(path);
      const mailbox = this.#mailbox(name, "shared", undefined, "default");
      return { plan: { path, role: "shared", weight: SHARED_WEIGHT }, mailbox };
    });
  }

  *#planUsers(): Generator<PlannedMailbox> {
    const { users, parameters } = this.#server.state;
    for (let number = 0; number < parameters.users; number++) {
      const id = this.#userId(number);
      const inbox = inboxOf(id, false);
      const inboxId = this.#uniqueId();
      const user: SampleUser = {
        number,
        id,
        inbox,
        inboxId,
        highestModseq: 0,
        folderModseq: 0,
        uidValidity: this.#startSeconds + number,
      };
      users.push(user);
      const partition = number % SECOND_PARTITION_EVERY === SECOND_PARTITION_EVERY - 1 ? "second" : "default";
      for (const plan of folderPlans(this.#random, parameters.foldersPerUser, parameters.layout)) {
        const name = folderName(inbox, plan.path);
        const mailbox = this.#mailbox(name, plan.role, user, partition);
        yield { plan, mailbox };
      }
      user.folderModseq = user.highestModseq;
    }
  }

  /** Where a full stop separates folders, no user id can have one: such users have another address. */
  #userId(number: number): ByteString {
    const { local } = userPerson(number);
    return fromText(this.#server.layout.kind === "uuid" ? local : local.replace(".", "_"));
  }

  #mailbox(
    name: ByteString,
    role: MailboxRole,
    user: SampleUser | undefined,
    partition: PartitionName,
  ): SampleMailbox {
    const modseq = user === undefined ? ++this.#server.state.sharedModseq : ++user.highestModseq;
    const rights = [
      {
        identifier: user?.id ?? fromText("anyone"),
        rights: user === undefined ? fromText("lrsp") : OWNER_RIGHTS,
      },
    ];
    return {
      name,
      uniqueId: role === "inbox" && user !== undefined ? user.inboxId : this.#uniqueId(),
      uidValidity: user === undefined ? this.#startSeconds : user.uidValidity++,
      partition,
      owner: user?.number,
      role,
      mailboxType: this.#server.layout.mailboxType,
      acl:
        user !== undefined && user.number % 5 === 0
          ? [...rights, { identifier: fromText("anyone"), rights: fromText("p") }]
          : rights,
      quotaRoot: user !== undefined && hasQuota(user.number) ? user.inbox : undefined,
      createdModseq: modseq,
      folderModseq: modseq,
      mtime: this.#startSeconds,
      history: [],
      flagNames: USER_FLAGS,
      exists: 0,
      usedBytes: 0,
      usedAnnotationBytes: 0,
    };
  }

  #uniqueId(): ByteString {
    return fromText(this.#random.token(24));
  }
}

function checkParameters(parameters: SampleParameters): void {
  const { users, foldersPerUser, messages, days, attachmentShare, repetition } = parameters;
  const { wholeFileShare, copyShare, linkedShare } = parameters;
  if (![users, foldersPerUser, days].every((value) => Number.isInteger(value) && value > 0))
    throw new RangeError("users, folders and days of a sample server are whole numbers above 0");
  if (!(Number.isInteger(messages) && messages >= 0)) throw new RangeError("messages are a whole number");
  if (![attachmentShare, repetition, linkedShare].every((share) => share >= 0 && share < 1))
    throw new RangeError("shares are 0 or more and below 1");
  if (!(wholeFileShare >= 0 && copyShare >= 0 && wholeFileShare + copyShare <= 1))
    throw new RangeError("the shares of repetition are 0 or more, and together at most 1");
}
