import { LineSocket } from "./line-socket.ts";

/** Delivers mail as a mail server would; several recipients in one transaction share one file on disk. */
export class LmtpClient {
  readonly #socket: LineSocket;

  private constructor(socket: LineSocket) {
    this.#socket = socket;
  }

  static async connect(port: number): Promise<LmtpClient> {
    const client = new LmtpClient(await LineSocket.open(port));
    await client.#expect("220");
    await client.#command("LHLO sender.example.org", "250");
    return client;
  }

  /** @param message - with CRLF line ends. @throws if any recipient is refused */
  async deliver(recipients: readonly string[], message: Uint8Array): Promise<void> {
    await this.#command("MAIL FROM:<sender@example.org>", "250");
    for (const recipient of recipients) await this.#command(`RCPT TO:<${recipient}>`, "250");
    await this.#command("DATA", "354");
    const stuffed = Buffer.from(message).toString("latin1").replace(/^\./gm, "..");
    await this.#socket.write(stuffed, stuffed.endsWith("\r\n") ? "" : "\r\n", ".\r\n");
    for (const _ of recipients) await this.#expect("250");
  }

  async quit(): Promise<void> {
    await this.#command("QUIT", "221");
    this.#socket.close();
  }

  async #command(line: string, code: string): Promise<void> {
    await this.#socket.write(`${line}\r\n`);
    await this.#expect(code);
  }

  async #expect(code: string): Promise<void> {
    for (;;) {
      const line = await this.#socket.readLine();
      if (!line.startsWith(code)) throw new Error(`LMTP answered ${line}`);
      if (line[3] !== "-") return;
    }
  }
}
