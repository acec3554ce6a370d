/**
 * A small IMAP client for tests: it sends commands as given and returns the untagged answers, parsed into nested
 * values. Not for mail from strangers: no limits, no TLS.
 */
import { ADMIN, ADMIN_PASSWORD } from "./cyrus-server.ts";
import { LineSocket } from "./line-socket.ts";

/** Atoms and quoted strings are strings (bytes as Latin-1), literals are bytes, NIL is null. */
export type ImapValue = string | Buffer | null | ImapValue[];

export interface FetchedMessage {
  readonly uid: number;
  /** Every item of the answer under its name in upper case. */
  readonly items: ReadonlyMap<string, ImapValue>;
}

export interface AppendOptions {
  readonly flags?: readonly string[];
  /** As IMAP writes it: `05-Mar-2019 10:00:00 +0100`. */
  readonly date?: string;
}

export class ImapError extends Error {}

export class ImapClient {
  readonly #socket: LineSocket;
  #tag = 0;

  private constructor(socket: LineSocket) {
    this.#socket = socket;
  }

  /** Signed in as the admin, or through the admin's password as another user. */
  static async connect(port: number, user: string = ADMIN): Promise<ImapClient> {
    const client = new ImapClient(await LineSocket.open(port));
    await client.#socket.readLine();
    const authorisation = user === ADMIN ? "" : user;
    const response = Buffer.from(`${authorisation}\0${ADMIN}\0${ADMIN_PASSWORD}`).toString("base64");
    await client.command("AUTHENTICATE PLAIN ", response);
    return client;
  }

  /**
   * Sends one command; bytes among the parts go as literals. Untagged answers come back in order.
   *
   * @throws ImapError with the server's words on NO or BAD
   */
  async command(...parts: readonly (string | Uint8Array)[]): Promise<ImapValue[][]> {
    const tag = `a${++this.#tag}`;
    const wire: (string | Uint8Array)[] = [`${tag} `];
    for (const part of parts) {
      if (typeof part === "string") wire.push(part);
      else wire.push(`{${part.length}+}\r\n`, part);
    }
    wire.push("\r\n");
    await this.#socket.write(...wire);
    const answers: ImapValue[][] = [];
    for (;;) {
      const response = await this.#readResponse();
      const [first] = response;
      if (typeof first !== "string") throw new Error("an answer without a beginning");
      if (first.startsWith(`${tag} `)) {
        const words = first.slice(tag.length + 1);
        if (!words.startsWith("OK")) throw new ImapError(`${describe(parts)}: ${words}`);
        return answers;
      }
      if (!first.startsWith("* ")) throw new Error(`not an IMAP answer: ${first.slice(0, 100)}`);
      const status = /^\* (OK|NO|BAD|BYE|PREAUTH) (.*)$/s.exec(first);
      answers.push(
        status === null
          ? parseValues([first.slice(2), ...response.slice(1)])
          : [status[1] ?? "", status[2] ?? ""],
      );
    }
  }

  async append(mailbox: string, message: Uint8Array, options: AppendOptions = {}): Promise<void> {
    const flags = options.flags === undefined ? "" : `(${options.flags.join(" ")}) `;
    const date = options.date === undefined ? "" : `"${options.date}" `;
    await this.command(`APPEND ${quote(mailbox)} ${flags}${date}`, message);
  }

  /** Opens without changing anything; answers are those of EXAMINE. */
  async examine(mailbox: string): Promise<ImapValue[][]> {
    return await this.command(`EXAMINE ${quote(mailbox)} (CONDSTORE)`);
  }

  async select(mailbox: string): Promise<ImapValue[][]> {
    return await this.command(`SELECT ${quote(mailbox)} (CONDSTORE)`);
  }

  /** @param items - as on the wire: `UID FLAGS BODY.PEEK[]` */
  async fetch(uids: string, items: string): Promise<FetchedMessage[]> {
    const messages: FetchedMessage[] = [];
    for (const [, word, list] of await this.command(`UID FETCH ${uids} (${items})`)) {
      if (word !== "FETCH" || !Array.isArray(list)) continue;
      const map = new Map<string, ImapValue>();
      for (let i = 0; i + 1 < list.length; i += 2)
        map.set(String(list[i]).toUpperCase(), list[i + 1] ?? null);
      messages.push({ uid: Number(map.get("UID")), items: map });
    }
    return messages;
  }

  /** All UIDs of the open mailbox, ascending. (SEARCH would answer nothing in a deleted mailbox.) */
  async uids(): Promise<number[]> {
    return (await this.fetch("1:*", "UID")).map(({ uid }) => uid);
  }

  async logout(): Promise<void> {
    await this.command("LOGOUT").catch(() => undefined);
    this.#socket.close();
  }

  async #readResponse(): Promise<(string | Buffer)[]> {
    const parts: (string | Buffer)[] = [];
    for (;;) {
      const line = await this.#socket.readLine();
      const literal = /\{(\d+)\+?\}$/.exec(line);
      if (literal === null) {
        parts.push(line);
        return parts;
      }
      parts.push(line.slice(0, literal.index), await this.#socket.readBytes(Number(literal[1])));
    }
  }
}

/** A mailbox name or other text as a quoted string. */
export function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

/** A value as text, bytes as Latin-1; NIL is the empty string. */
export function textOf(value: ImapValue | undefined): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return `(${value.map(textOf).join(" ")})`;
  return Buffer.isBuffer(value) ? value.toString("latin1") : value;
}

/** Reads `a (b "c" NIL) BODY[HEADER.FIELDS (X)] …`; every element after a text part is a literal, in its place. */
function parseValues(parts: readonly (string | Buffer)[]): ImapValue[] {
  const stack: ImapValue[][] = [[]];
  const top = () => stack[stack.length - 1] as ImapValue[];
  const token = /\s+|(\()|(\))|"((?:[^"\\]|\\.)*)"|((?:[^\s()["]|\[[^\]]*\])+)/gy;
  for (const part of parts) {
    if (typeof part !== "string") {
      top().push(part);
      continue;
    }
    token.lastIndex = 0;
    while (token.lastIndex < part.length) {
      const at = token.lastIndex;
      const match = token.exec(part);
      if (match === null) throw new Error(`cannot parse an IMAP answer at ${at}: ${part.slice(0, 200)}`);
      const [, open, close, quoted, atom] = match;
      if (open !== undefined) stack.push([]);
      else if (close !== undefined) {
        const list = stack.pop() as ImapValue[];
        if (stack.length === 0) throw new Error("an IMAP answer closes a list it did not open");
        top().push(list);
      } else if (quoted !== undefined) top().push(quoted.replace(/\\(.)/g, "$1"));
      else if (atom !== undefined) top().push(atom === "NIL" ? null : atom);
    }
  }
  return stack[0] as ImapValue[];
}

function describe(parts: readonly (string | Uint8Array)[]): string {
  return parts
    .map((part) => (typeof part === "string" ? part : `{${part.length} bytes}`))
    .join("")
    .slice(0, 200);
}
