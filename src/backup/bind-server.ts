/** Which server a backup is of: where its data lies for us, what it is called, what went before. */
import { hostname } from "node:os";
import { toText } from "../base/byte-string.ts";
import { describeServer, type ServerDescription } from "../source/server.ts";
import { SourceView } from "../source/view.ts";
import type { Repository } from "../store/repository.ts";
import type { BackupOptions } from "./options.ts";
import { findParents, type Parents } from "./parents.ts";

export interface BoundServer {
  readonly view: SourceView;
  readonly server: ServerDescription;
  /** What its backups are kept under. */
  readonly name: string;
  readonly parents: Parents;
}

/** @throws {CyrvaultError} `CONFIG_INVALID`, `SOURCE_INVALID`, `IO`. */
export async function bindServer(options: BackupOptions, repository: Repository): Promise<BoundServer> {
  const { config, includes, withSearch, root, mappings } = options;
  const view = new SourceView(root, mappings);
  const server = describeServer({ view, config, includes, withSearch });
  const { serverName } = server.layout;
  const name = options.server ?? (serverName === undefined ? hostname() : toText(serverName));
  return { view, server, name, parents: await findParents(repository, name) };
}
