import { type AddressInfo, createServer, type Server } from "node:net";

/** Loopback TCP ports that nobody listens on now, all different. Somebody else may take one before you do. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  for (let i = 0; i < count; i++) {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) await new Promise<void>((resolve) => server.close(() => resolve()));
  return ports;
}
