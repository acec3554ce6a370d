/**
 * Mail that goes on flowing while a test does something else to the server: deliveries, and of each user appends,
 * flags, expunges, moves, renames, folders that come and go. Of each message it is remembered when it was surely
 * there and from when on it may have gone, so that a backup taken meanwhile can be judged.
 *
 * A server that stops in between is no failure: it is counted, and the work goes on when it accepts connections again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { CyrusServer } from "./cyrus-server.ts";
import { ImapClient, ImapError, quote, textOf } from "./imap-client.ts";
import { LmtpClient } from "./lmtp-client.ts";
import { type MessageLife, MessageLives } from "./message-lives.ts";
import { SeededRandom } from "./sample-mail.ts";
import { listMessages, type SeenMessage } from "./seen-messages.ts";

export interface TrafficOptions {
  /** Their mailboxes exist; the folders below are made. */
  readonly users: readonly string[];
  readonly seed?: string;
  /** Between two commands of one actor. Default 10. */
  readonly pauseMs?: number;
  /** What is more in a folder is expunged. Default 40. */
  readonly folderMessages?: number;
  /** What users do, as often as it is named. Default: some of everything. */
  readonly steps?: readonly TrafficStep[];
}

export type TrafficStep = "append" | "flag" | "expunge" | "move" | "rename" | "folder";

/** A command that was answered, from before it was sent. Times are of `Date.now()`. */
export interface Operation {
  readonly what: string;
  /** undefined: of several. */
  readonly user: string | undefined;
  readonly fromMs: number;
  readonly toMs: number;
}

/** From the first moment at which nobody got an answer to the first at which somebody did again. */
export interface Outage {
  readonly fromMs: number;
  toMs: number | undefined;
}

const DEFAULT_STEPS: readonly TrafficStep[] = [
  ...["append", "append", "append", "flag", "flag", "move", "move"],
  ...["expunge", "rename", "folder"],
] as TrafficStep[];
/** Folders stay small enough that listing one costs nothing. */
const FOLDER_MESSAGES = 40;
const RECONNECT_MS = 50;

export class MailTraffic {
  readonly outages: Outage[] = [];
  /** NO and BAD of the server. */
  readonly refusals: string[] = [];
  /** Of the commands that were answered. */
  slowest: { readonly what: string; readonly ms: number } = { what: "nothing", ms: 0 };
  /** Of the commands that were answered, in the order of their answers. */
  readonly operations: Operation[] = [];
  /** Commands that were answered, by kind. */
  readonly done = new Map<string, number>();
  readonly #server: CyrusServer;
  readonly #ports: CyrusServer["ports"];
  readonly #options: TrafficOptions;
  readonly #random: SeededRandom;
  readonly #actors: Promise<void>[] = [];
  readonly #lives = new MessageLives();
  #connected = 0;
  #stopped = false;
  #failed: unknown;

  private constructor(server: CyrusServer, options: TrafficOptions) {
    this.#server = server;
    // It may be started again by somebody else meanwhile, on the same ports.
    this.#ports = server.ports;
    this.#options = options;
    this.#random = new SeededRandom(options.seed ?? "traffic");
  }

  /** The server runs. Makes the folders, and everybody is at work when it returns. */
  static async start(server: CyrusServer, options: TrafficOptions): Promise<MailTraffic> {
    const traffic = new MailTraffic(server, options);
    for (const user of options.users) {
      const client = await ImapClient.connect(traffic.#ports.imap, user);
      for (const folder of ["Aaa", "Zzz", "Turn-0"])
        await client.command(`CREATE ${quote(traffic.#folder(folder))}`);
      await client.logout();
    }
    const begin = (actor: () => Promise<void>): void => {
      traffic.#actors.push(
        actor().catch((error: unknown) => {
          traffic.#failed ??= error;
        }),
      );
    };
    begin(() => traffic.#deliver());
    for (const user of options.users) begin(() => traffic.#use(user));
    return traffic;
  }

  /** @throws what no stopped server explains. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#actors);
    if (this.#failed !== undefined) throw this.#failed;
  }

  /** Resolves when so many more commands have been answered. @throws when nothing moves any more. */
  async waitFor(count: number, timeoutMs = 60_000): Promise<void> {
    const total = () => [...this.done.values()].reduce((sum, one) => sum + one, 0);
    const wanted = total() + count;
    const deadline = Date.now() + timeoutMs;
    while (total() < wanted) {
      if (this.#failed !== undefined) throw this.#failed;
      if (Date.now() > deadline) throw new Error("the traffic stands still");
      await sleep(10);
    }
  }

  throughout(fromMs: number, toMs: number): MessageLife[] {
    return this.#lives.throughout(fromMs, toMs);
  }

  missing(seen: readonly SeenMessage[], fromMs: number, toMs: number): string[] {
    return this.#lives.missing(seen, fromMs, toMs);
  }

  notOfOneMoment(seen: readonly SeenMessage[], fromMs: number, toMs: number): string[] {
    return this.#lives.notOfOneMoment(seen, fromMs, toMs);
  }

  /** Outages that are over, longest first; their length is what clients noticed. */
  get downtimesMs(): number[] {
    return this.outages
      .flatMap(({ fromMs, toMs }) => (toMs === undefined ? [] : [toMs - fromMs]))
      .sort((a, b) => b - a);
  }

  #folder(name: string): string {
    return `INBOX${this.#server.separator}${name}`;
  }

  async #deliver(): Promise<void> {
    await this.#keepOn(
      () => LmtpClient.connect(this.#ports.lmtp),
      async (client) => {
        const users = this.#options.users.filter((_, at) => at === 0 || this.#random.below(2) === 0);
        const { lives, message } = this.#message(users, this.#random.below(20) === 0 ? 200_000 : 3000);
        await this.#timed("delivery", undefined, () => client.deliver(users, message));
        this.#lives.stored(lives, "INBOX");
      },
      (client) => client.quit(),
    );
  }

  async #use(user: string): Promise<void> {
    const steps = this.#options.steps ?? DEFAULT_STEPS;
    let turn: number | undefined = 0;
    let count = 0;
    await this.#keepOn(
      () => ImapClient.connect(this.#ports.imap, user),
      async (client) => {
        turn ??= await this.#turnOf(client);
        const turning = this.#folder(`Turn-${turn}`);
        const folders = ["INBOX", this.#folder("Aaa"), this.#folder("Zzz"), turning];
        switch (this.#random.pick(steps)) {
          case "append":
            return await this.#append(client, user, this.#random.pick(folders));
          case "flag":
            return await this.#flag(client, user, this.#random.pick(folders));
          case "expunge":
            return await this.#expunge(client, user, this.#random.pick(folders));
          case "move": {
            // Mostly from where a backup looks late to where it looks early.
            const [early = "", late = ""] = [folders[1], folders[2]];
            const [from, to] = this.#random.below(4) > 0 ? [late, early] : [early, late];
            return await this.#move(client, user, from, to);
          }
          case "rename": {
            const next = turn + 1;
            turn = undefined;
            await this.#rename(client, user, turning, this.#folder(`Turn-${next}`));
            turn = next;
            return;
          }
          case "folder":
            return await this.#comeAndGo(client, user, this.#folder(`Brief-${++count}`));
        }
      },
      (client) => client.logout(),
    );
  }

  /** Which name the turning folder has, after a rename whose answer never came. */
  async #turnOf(client: ImapClient): Promise<number> {
    const rows = await client.command(`LIST "" ${quote(this.#folder("Turn-*"))}`);
    const numbers = rows.map((row) => Number(/Turn-(\d+)$/.exec(textOf(row.at(-1)))?.[1] ?? Number.NaN));
    const turn = numbers.find((number) => !Number.isNaN(number));
    if (turn === undefined) throw new Error(`the renamed folder has no name: ${rows.map(textOf).join("; ")}`);
    return turn;
  }

  async #append(client: ImapClient, user: string, folder: string): Promise<void> {
    const { lives, message } = this.#message([user], 1500);
    await this.#timed("append", user, () => client.append(folder, message));
    this.#lives.stored(lives, folder);
  }

  async #flag(client: ImapClient, user: string, folder: string): Promise<void> {
    const [chosen] = await this.#choose(client, user, folder, 1);
    const before = chosen?.life.flagged;
    if (chosen === undefined || before === undefined) return;
    chosen.life.flagged = undefined;
    const sign = before.is ? "-" : "+";
    await this.#timed("flag", user, () => client.command(`UID STORE ${chosen.uid} ${sign}FLAGS (\\Flagged)`));
    chosen.life.flagged = { is: !before.is, sinceMs: Date.now() };
  }

  async #expunge(client: ImapClient, user: string, folder: string): Promise<void> {
    const chosen = await this.#choose(client, user, folder, 1 + this.#random.below(3));
    if (chosen.length === 0) return;
    const uids = chosen.map(({ uid }) => uid).join(",");
    for (const { life } of chosen) life.goingMs = Date.now();
    await this.#timed("expunge", user, async () => {
      await client.command(`UID STORE ${uids} +FLAGS (\\Deleted)`);
      await client.command(`UID EXPUNGE ${uids}`);
    });
    for (const { life } of chosen) life.goneMs = Date.now();
  }

  async #move(client: ImapClient, user: string, from: string, to: string): Promise<void> {
    const chosen = await this.#choose(client, user, from, 1 + this.#random.below(2));
    if (chosen.length === 0) return;
    for (const { life } of chosen) life.place = undefined;
    await this.#timed("move", user, () =>
      client.command(`UID MOVE ${chosen.map(({ uid }) => uid).join(",")} ${quote(to)}`),
    );
    for (const { life } of chosen) life.place = { folder: to, sinceMs: Date.now() };
  }

  async #rename(client: ImapClient, user: string, from: string, to: string): Promise<void> {
    const inside = this.#lives.all.filter((life) => life.user === user && life.place?.folder === from);
    for (const life of inside) life.place = undefined;
    await this.#timed("rename", user, () => client.command(`RENAME ${quote(from)} ${quote(to)}`));
    for (const life of inside) life.place = { folder: to, sinceMs: Date.now() };
  }

  async #comeAndGo(client: ImapClient, user: string, folder: string): Promise<void> {
    await this.#timed("create", user, () => client.command(`CREATE ${quote(folder)}`));
    const { lives, message } = this.#message([user], 1500);
    await this.#timed("append", user, () => client.append(folder, message));
    this.#lives.stored(lives, folder);
    for (const life of lives) life.goingMs = Date.now();
    await this.#timed("delete", user, () => client.command(`DELETE ${quote(folder)}`));
    for (const life of lives) life.goneMs = Date.now();
  }

  /** Some messages of a folder, which is open afterwards. What is too many goes at once. */
  async #choose(
    client: ImapClient,
    user: string,
    folder: string,
    count: number,
  ): Promise<{ readonly uid: number; readonly life: MessageLife }[]> {
    await this.#timed("select", user, () => client.select(folder));
    const messages = await this.#noted("fetch", user, () => listMessages(client));
    const listed = messages.flatMap(({ uid, token }) => {
      const life = this.#lives.find({ user, token });
      return life === undefined || life.goingMs !== undefined ? [] : [{ uid, life }];
    });
    const surplus = listed.splice(
      0,
      Math.max(0, listed.length - (this.#options.folderMessages ?? FOLDER_MESSAGES)),
    );
    if (surplus.length > 0) {
      for (const { life } of surplus) life.goingMs = Date.now();
      const uids = surplus.map(({ uid }) => uid).join(",");
      await this.#noted("expunge", user, async () => {
        await client.command(`UID STORE ${uids} +FLAGS (\\Deleted)`);
        await client.command(`UID EXPUNGE ${uids}`);
      });
      for (const { life } of surplus) life.goneMs = Date.now();
    }
    const first = listed.length <= count ? 0 : this.#random.below(listed.length - count);
    return listed.slice(first, first + count);
  }

  #message(users: readonly string[], bytes: number): { lives: MessageLife[]; message: Buffer } {
    const lives = this.#lives.send(users);
    const token = lives[0]?.token;
    const text = this.#random
      .bytes(bytes >> 1)
      .toString("hex")
      .replace(/.{70}/g, "$&\r\n");
    const header = `From: <sender@example.org>\r\nTo: <${users.join(">, <")}>\r\nSubject: ${token}\r\n`;
    const message = Buffer.from(
      `${header}Date: Sat, 21 Nov 2026 08:00:00 +0000\r\nMessage-ID: <${token}@example.org>\r\n\r\n${text}\r\n`,
    );
    return { lives, message };
  }

  async #timed<T>(what: string, user: string | undefined, work: () => Promise<T>): Promise<T> {
    const result = await this.#noted(what, user, work);
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
    return result;
  }

  async #noted<T>(what: string, user: string | undefined, work: () => Promise<T>): Promise<T> {
    const fromMs = Date.now();
    const result = await work();
    const toMs = Date.now();
    if (toMs - fromMs > this.slowest.ms) this.slowest = { what, ms: toMs - fromMs };
    this.operations.push({ what, user, fromMs, toMs });
    return result;
  }

  async #keepOn<T>(
    connect: () => Promise<T>,
    step: (client: T) => Promise<void>,
    leave: (client: T) => Promise<void>,
  ): Promise<void> {
    let client: T | undefined;
    while (!this.#stopped) {
      try {
        if (client === undefined) {
          client = await connect();
          this.#hasConnection();
        }
        await step(client);
      } catch (error) {
        if (error instanceof ImapError) this.refusals.push(error.message);
        else {
          if (client !== undefined) this.#lostConnection();
          client = undefined;
          await sleep(RECONNECT_MS);
        }
      }
      await sleep(this.#options.pauseMs ?? 10);
    }
    if (client !== undefined) await leave(client).catch(() => undefined);
  }

  #hasConnection(): void {
    this.#connected++;
    const last = this.outages.at(-1);
    if (last !== undefined) last.toMs ??= Date.now();
  }

  /** Whoever is the last to lose it: until then somebody was served. */
  #lostConnection(): void {
    this.#connected--;
    if (this.#connected === 0) this.outages.push({ fromMs: Date.now(), toMs: undefined });
  }
}
