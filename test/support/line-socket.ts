import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A TCP connection read as lines and as counted bytes, as IMAP, LMTP and ManageSieve all need it. Loopback only. */
export class LineSocket {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #buffered = 0;
  #wake: (() => void) | undefined;
  #ended: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#buffered += chunk.length;
      this.#wake?.();
    });
    const end = (error?: Error) => {
      this.#ended ??= error ?? new Error("the server closed the connection");
      this.#wake?.();
    };
    socket.on("error", end);
    socket.on("close", () => end());
  }

  static async open(port: number): Promise<LineSocket> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    return new LineSocket(socket);
  }

  /** The next line without its line end; bytes as Latin-1. */
  async readLine(): Promise<string> {
    let searched = 0;
    for (;;) {
      const joined = this.#join();
      const at = joined.indexOf(0x0a, searched);
      if (at >= 0) {
        const line = joined.toString("latin1", 0, at).replace(/\r$/, "");
        this.#keep(joined.subarray(at + 1));
        return line;
      }
      searched = joined.length;
      await this.#more();
    }
  }

  async readBytes(count: number): Promise<Buffer> {
    while (this.#buffered < count) await this.#more();
    const joined = this.#join();
    this.#keep(joined.subarray(count));
    return Buffer.from(joined.subarray(0, count));
  }

  async write(...parts: readonly (string | Uint8Array)[]): Promise<void> {
    this.#socket.cork();
    for (const part of parts)
      this.#socket.write(typeof part === "string" ? Buffer.from(part, "latin1") : part);
    const flushed = this.#socket.writableNeedDrain;
    this.#socket.uncork();
    if (flushed) await once(this.#socket, "drain");
  }

  close(): void {
    this.#socket.destroy();
  }

  #join(): Buffer {
    const [only] = this.#chunks;
    if (this.#chunks.length === 1 && only !== undefined) return only;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  #keep(rest: Buffer): void {
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#buffered = rest.length;
  }

  async #more(): Promise<void> {
    if (this.#ended !== undefined) throw new Error("the connection ended", { cause: this.#ended });
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }
}
