/**
 * A real Cyrus with 30 users and 150 mailboxes, and what happens to it in a day: mail comes in by LMTP, is read,
 * flagged, filed, copied, deleted; the nightly `cyr_expire` drops what is expunged, which repacks mailboxes.
 */
import { Random } from "../../src/sample/random.ts";
import { CyrusServer } from "../../test/support/cyrus-server.ts";
import { ImapClient } from "../../test/support/imap-client.ts";
import { LmtpClient } from "../../test/support/lmtp-client.ts";
import { imapDate, StudyMail, type StudyMessage } from "./study-mail.ts";

export interface DayEvents {
  delivered: number;
  flagged: number;
  moved: number;
  copied: number;
  expunged: number;
  mailboxesTouched: number;
  readonly repacked: boolean;
  readonly checkpointed: boolean;
}

const FOLDERS = ["INBOX", "Sent", "Archive", "Lists", "Work"] as const;
const USERS = 30;
const DAY_SECONDS = 86_400;
const FIRST_DAY = Date.UTC(2026, 9, 1) / 1000;
const APPEND_BATCH = 200;
/** Messages of the mailboxes that are not small, `user/folder`. */
const LARGE: Readonly<Record<string, number>> = {
  "0/Archive": 20_000,
  "1/Lists": 5_000,
  "2/Archive": 3_000,
  "3/INBOX": 2_000,
  "4/INBOX": 1_500,
  "5/Lists": 1_000,
};
const SMALL = { median: 40, sigma: 1.1, max: 800 } as const;
const SHARED_READERS = 10;
/** The nights on which what was expunged before is dropped. Debian does so every night, 28 days later. */
export const REPACK_DAYS: ReadonlySet<number> = new Set([3, 5, 6, 8, 10]);

export class LiveServer {
  readonly server: CyrusServer;
  readonly #random = new Random(7);
  readonly #mail = new StudyMail(USERS);
  readonly #scale: number;

  private constructor(server: CyrusServer, scale: number) {
    this.server = server;
    this.#scale = scale;
  }

  static async create(directory: string, scale: number): Promise<LiveServer> {
    const server = await CyrusServer.create(directory, {
      extraConfig: ["conversations: 1", "conversations_db: twoskip"],
    });
    return new LiveServer(server, scale);
  }

  /** Users, folders, years of mail. */
  async fill(): Promise<void> {
    const { imap } = this.server.ports;
    const admin = await ImapClient.connect(imap);
    for (let user = 0; user < USERS; user++) {
      await admin.command(`CREATE user/${nameOf(user)}`);
      await admin.command(`SETQUOTA user/${nameOf(user)} (STORAGE 100000000)`);
    }
    await admin.logout();
    for (let user = 0; user < USERS; user++) {
      const client = await ImapClient.connect(imap, nameOf(user));
      for (const folder of FOLDERS) {
        if (folder !== "INBOX") await client.command(`CREATE INBOX/${folder}`);
        await client.command(`SUBSCRIBE ${mailboxOf(folder)}`);
        await this.#fillMailbox(client, user, folder);
      }
      await client.logout();
    }
    const owner = await ImapClient.connect(imap, nameOf(1));
    for (let user = 2; user < 2 + SHARED_READERS; user++)
      await owner.command(`SETACL INBOX/Lists ${nameOf(user)} lrs`);
    await owner.logout();
  }

  /** @param day - from 1. Leaves the server running. */
  async live(day: number): Promise<DayEvents> {
    const repacked = REPACK_DAYS.has(day);
    const events: DayEvents = {
      delivered: 0,
      flagged: 0,
      moved: 0,
      copied: 0,
      expunged: 0,
      mailboxesTouched: 0,
      repacked,
      checkpointed: true,
    };
    const now = FIRST_DAY + day * DAY_SECONDS;
    await this.#deliver(now, events);
    for (let user = 0; user < USERS; user++)
      if (this.#random.chance(0.7)) await this.#work(user, now, day, events);
    await this.#readShared(events);
    const expire = repacked ? ["-E", "1", "-X", "0", "-D", "0"] : ["-E", "1"];
    await this.#tool("cyr_expire", ...expire);
    await this.#tool("ctl_cyrusdb", "-c");
    return events;
  }

  async #fillMailbox(client: ImapClient, user: number, folder: string): Promise<void> {
    const drawn = Math.min(SMALL.max, Math.round(this.#random.logNormal(SMALL.median, SMALL.sigma)));
    const count = Math.round((LARGE[`${user}/${folder}`] ?? drawn) * this.#scale);
    for (let done = 0; done < count; done += APPEND_BATCH) {
      const batch = Math.min(APPEND_BATCH, count - done);
      const messages = Array.from({ length: batch }, (_, i) =>
        this.#mail.history(user, FIRST_DAY - (count - done - i) * 3600),
      );
      await this.#append(client, mailboxOf(folder), messages, "(\\Seen)");
    }
  }

  async #append(
    client: ImapClient,
    mailbox: string,
    messages: readonly StudyMessage[],
    flags: string,
  ): Promise<void> {
    if (messages.length === 0) return;
    const parts: (string | Uint8Array)[] = [`APPEND ${mailbox}`];
    for (const { bytes, internalDate } of messages) parts.push(` ${flags} ${imapDate(internalDate)} `, bytes);
    await client.command(...parts);
  }

  async #deliver(now: number, events: DayEvents): Promise<void> {
    const lmtp = await LmtpClient.connect(this.server.ports.lmtp);
    for (let user = 0; user < USERS; user++) {
      if (!this.#random.chance(0.7)) continue;
      const count = 3 + this.#random.below(35);
      for (let i = 0; i < count; i++) {
        const recipients = new Set([user]);
        if (this.#random.chance(0.15)) recipients.add(this.#random.below(USERS));
        const { bytes } = this.#mail.daily(user, now + i * 600);
        await lmtp.deliver([...recipients].map(nameOf), bytes);
        events.delivered += recipients.size;
      }
    }
    await lmtp.quit();
  }

  /** A user at work: reads, answers, files, deletes. */
  async #work(user: number, now: number, day: number, events: DayEvents): Promise<void> {
    const random = this.#random;
    const client = await ImapClient.connect(this.server.ports.imap, nameOf(user));
    const touched = new Set(["INBOX"]);
    await client.select("INBOX");
    const uids = await client.uids();
    const recent = uids.slice(-60);
    const read = recent.filter(() => random.chance(0.6));
    await store(client, read, "\\Seen");
    await store(
      client,
      read.filter(() => random.chance(0.15)),
      "\\Answered",
    );
    await store(
      client,
      recent.filter(() => random.chance(0.03)),
      "\\Flagged",
    );
    await store(
      client,
      recent.filter(() => random.chance(0.03)),
      "$Junk",
    );
    events.flagged += read.length;
    if (random.chance(0.5)) {
      const target = random.pick(["Archive", "Work"]);
      const moved = uids.filter(() => random.chance(8 / Math.max(8, uids.length)));
      if (moved.length > 0) await client.command(`UID MOVE ${moved.join(",")} INBOX/${target}`);
      events.moved += moved.length;
      touched.add(target);
    }
    if (random.chance(0.25)) {
      const copied = recent.filter(() => random.chance(0.05));
      if (copied.length > 0)
        await client.command(`UID COPY ${copied.join(",")} INBOX/Work`).catch(() => undefined);
      events.copied += copied.length;
      touched.add("Work");
    }
    if (random.chance(0.6)) events.expunged += await this.#expunge(client, 6);
    if (random.chance(0.4)) {
      const sent = Array.from({ length: 1 + random.below(6) }, (_, i) =>
        this.#mail.daily(user, now + i * 900, true),
      );
      await this.#append(client, "INBOX/Sent", sent, "(\\Seen)");
      events.delivered += sent.length;
      touched.add("Sent");
    }
    if (random.chance(0.2)) {
      const posts = Array.from({ length: 5 + random.below(30) }, (_, i) =>
        this.#mail.history(user, now + i * 300),
      );
      await this.#append(client, "INBOX/Lists", posts, "()");
      events.delivered += posts.length;
      touched.add("Lists");
    }
    if (random.chance(0.15) || (user === 0 && day % 3 === 0)) {
      const folder = user === 0 ? "Archive" : random.pick(["Archive", "Lists", "Work"]);
      await client.select(`INBOX/${folder}`);
      events.expunged += await this.#expunge(client, 10);
      touched.add(folder);
    }
    if (day % 4 === 0 && user % 10 === 0) {
      await client.command(`CREATE INBOX/Day${day}`);
      if (day > 4) await client.command(`DELETE INBOX/Day${day - 4}`).catch(() => undefined);
    }
    events.mailboxesTouched += touched.size;
    await client.logout();
  }

  /** In the open mailbox. Deletes recent messages more often than old ones. */
  async #expunge(client: ImapClient, most: number): Promise<number> {
    const uids = await client.uids();
    if (uids.length === 0) return 0;
    const chosen = new Set<number>();
    for (let i = 1 + this.#random.below(most); i > 0; i--) {
      const from = this.#random.chance(0.7) ? Math.max(0, uids.length - 80) : 0;
      chosen.add(uids[from + this.#random.below(uids.length - from)] as number);
    }
    await store(client, [...chosen], "\\Deleted");
    await client.command("EXPUNGE");
    return chosen.size;
  }

  /** Several people read a shared folder: what they have read is in their `.seen`. */
  async #readShared(events: DayEvents): Promise<void> {
    for (let user = 2; user < 2 + SHARED_READERS; user++) {
      if (!this.#random.chance(0.5)) continue;
      const client = await ImapClient.connect(this.server.ports.imap, nameOf(user));
      await client.select(`user/${nameOf(1)}/Lists`);
      const read = (await client.uids()).slice(-100).filter(() => this.#random.chance(0.3));
      await store(client, read, "\\Seen");
      events.flagged += read.length;
      await client.logout();
    }
  }

  async #tool(name: string, ...args: readonly string[]): Promise<void> {
    const { code, stderr } = await this.server.tool(name, ...args);
    if (code !== 0) throw new Error(`${name} ended with ${code}: ${stderr}`);
  }
}

async function store(client: ImapClient, uids: readonly number[], flag: string): Promise<void> {
  if (uids.length > 0) await client.command(`UID STORE ${uids.join(",")} +FLAGS.SILENT (${flag})`);
}

function nameOf(user: number): string {
  return `u${String(user).padStart(2, "0")}`;
}

function mailboxOf(folder: string): string {
  return folder === "INBOX" ? "INBOX" : `INBOX/${folder}`;
}
