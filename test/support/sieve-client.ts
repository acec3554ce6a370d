import { ADMIN, ADMIN_PASSWORD } from "./cyrus-server.ts";
import { LineSocket } from "./line-socket.ts";

export interface SieveScript {
  readonly name: string;
  readonly active: boolean;
  readonly text: string;
}

/** ManageSieve (RFC 5804) as far as the tests need it: the scripts of one user, signed in through the admin. */
export class SieveClient {
  readonly #socket: LineSocket;

  private constructor(socket: LineSocket) {
    this.#socket = socket;
  }

  static async connect(port: number, user: string): Promise<SieveClient> {
    const client = new SieveClient(await LineSocket.open(port));
    await client.#answer();
    const response = Buffer.from(`${user}\0${ADMIN}\0${ADMIN_PASSWORD}`).toString("base64");
    await client.#command(`AUTHENTICATE "PLAIN" "${response}"`);
    return client;
  }

  async put(name: string, text: string): Promise<void> {
    await this.#command(`PUTSCRIPT "${name}" {${Buffer.byteLength(text)}+}\r\n${text}`);
  }

  async activate(name: string): Promise<void> {
    await this.#command(`SETACTIVE "${name}"`);
  }

  async list(): Promise<SieveScript[]> {
    const scripts: SieveScript[] = [];
    for (const line of await this.#command("LISTSCRIPTS")) {
      const match = /^"(.*)"( ACTIVE)?$/.exec(line);
      if (match?.[1] === undefined) throw new Error(`ManageSieve listed ${line}`);
      const text = (await this.#command(`GETSCRIPT "${match[1]}"`)).join("\n");
      scripts.push({ name: match[1], active: match[2] !== undefined, text });
    }
    return scripts.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async logout(): Promise<void> {
    await this.#command("LOGOUT").catch(() => undefined);
    this.#socket.close();
  }

  async #command(line: string): Promise<string[]> {
    await this.#socket.write(Buffer.from(`${line}\r\n`));
    return await this.#answer();
  }

  /** Lines (a literal counts as one) up to OK. */
  async #answer(): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.#socket.readLine();
      if (/^OK\b/i.test(line)) return lines;
      if (/^(NO|BYE)\b/i.test(line)) throw new Error(`ManageSieve answered ${line}`);
      const literal = /^\{(\d+)\+?\}$/.exec(line);
      if (literal === null) {
        lines.push(line);
      } else {
        lines.push((await this.#socket.readBytes(Number(literal[1]))).toString("utf8"));
        await this.#socket.readLine();
      }
    }
  }
}
