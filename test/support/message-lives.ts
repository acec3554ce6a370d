/**
 * What is known of each message of a traffic: when it was surely there and from when on it may have gone. A view of the
 * server taken meanwhile is judged by it.
 */
import { type SeenMessage, TRAFFIC_TOKEN } from "./seen-messages.ts";

/** One copy of one message: that of one user. Times are of `Date.now()`. */
export interface MessageLife {
  readonly user: string;
  /** Its Message-ID without brackets and domain. */
  readonly token: string;
  /** Before the command that brought it. */
  readonly sentMs: number;
  /** The server has said that it holds it; undefined: never. */
  storedMs: number | undefined;
  /** Before the command that takes it away. */
  goingMs: number | undefined;
  /** The server has said that it is gone. */
  goneMs: number | undefined;
  /** Where it lies, and since when that is sure; undefined: it is being moved, or was when the server stopped. */
  place: { readonly folder: string; readonly sinceMs: number } | undefined;
  /** Whether it is \Flagged, and since when that is sure; undefined: it is being changed. */
  flagged: { readonly is: boolean; readonly sinceMs: number } | undefined;
}

export class MessageLives {
  readonly #lives: MessageLife[] = [];
  readonly #byKey = new Map<string, MessageLife>();
  #token = 0;

  get all(): readonly MessageLife[] {
    return this.#lives;
  }

  find(key: Pick<MessageLife, "user" | "token">): MessageLife | undefined {
    return this.#byKey.get(keyOf(key));
  }

  /** One message for all of them, which is about to be sent. */
  send(users: readonly string[]): MessageLife[] {
    const token = `${TRAFFIC_TOKEN}${++this.#token}`;
    const sentMs = Date.now();
    const unknown = { storedMs: undefined, goingMs: undefined, goneMs: undefined, place: undefined };
    const lives = users.map((user): MessageLife => ({ user, token, sentMs, ...unknown, flagged: undefined }));
    for (const life of lives) {
      this.#lives.push(life);
      this.#byKey.set(keyOf(life), life);
    }
    return lives;
  }

  /** As it came: without the flag. */
  stored(lives: readonly MessageLife[], folder: string): void {
    const now = Date.now();
    for (const life of lives) {
      life.storedMs = now;
      life.place = { folder, sinceMs: now };
      life.flagged = { is: false, sinceMs: now };
    }
  }

  /** Those that surely were there all the time. */
  throughout(fromMs: number, toMs: number): MessageLife[] {
    return this.#lives.filter(
      ({ storedMs, goingMs }) =>
        storedMs !== undefined && storedMs <= fromMs && (goingMs === undefined || goingMs > toMs),
    );
  }

  /**
   * What is wrong with a view of the server that was taken between the two moments: in any way that takes time. A
   * sentence each. Deeper where something did not change in all the time: its folder, its flag.
   */
  missing(seen: readonly SeenMessage[], fromMs: number, toMs: number): string[] {
    const found = byKey(seen);
    return this.throughout(fromMs, toMs).flatMap((life) => {
      const copies = found.get(keyOf(life)) ?? [];
      const { place, flagged, token, user } = life;
      if (copies.length === 0) return [`${token} of ${user} is missing (${place?.folder ?? "being moved"})`];
      const wrong: string[] = [];
      const there = copies.find(({ folder }) => folder === place?.folder);
      if (place !== undefined && place.sinceMs <= fromMs && there === undefined)
        wrong.push(`${token} of ${user} is in ${copies[0]?.folder}, not in ${place.folder}`);
      if (
        flagged !== undefined &&
        flagged.sinceMs <= fromMs &&
        copies.some((c) => c.isFlagged !== flagged.is)
      )
        wrong.push(`${token} of ${user} ${flagged.is ? "lost its flag" : "has a flag"}`);
      return wrong;
    });
  }

  /** The same for a view of one moment between the two: then nothing is there twice, too early or too late either. */
  notOfOneMoment(seen: readonly SeenMessage[], fromMs: number, toMs: number): string[] {
    const wrong = this.missing(seen, fromMs, toMs);
    for (const [key, copies] of byKey(seen)) {
      const life = this.#byKey.get(key);
      const { token, user } = copies[0] as SeenMessage;
      if (copies.length > 1)
        wrong.push(`${token} of ${user} is there twice: ${copies.map((c) => c.folder).join(", ")}`);
      if (life === undefined) wrong.push(`${token} of ${user} was never sent`);
      else if (life.sentMs > toMs) wrong.push(`${token} of ${user} came later`);
      else if (life.goneMs !== undefined && life.goneMs < fromMs) wrong.push(`${token} of ${user} was gone`);
    }
    return wrong;
  }
}

function keyOf({ user, token }: { readonly user: string; readonly token: string }): string {
  return `${user}/${token}`;
}

function byKey(seen: readonly SeenMessage[]): Map<string, SeenMessage[]> {
  const map = new Map<string, SeenMessage[]>();
  for (const message of seen) map.set(keyOf(message), [...(map.get(keyOf(message)) ?? []), message]);
  return map;
}
