/** Which server a backup is of: where its data lies for us, what it is called, what went before. */
import { hostname } from "node:os";
import { toText } from "../base/byte-string.ts";
import { listSeriesOf } from "../manifest/list-series.ts";
import { describeServer, type ServerDescription } from "../source/server.ts";
import { SourceView } from "../source/view.ts";
import type { Repository } from "../store/repository.ts";
import { withListOnly } from "./list-only.ts";
import type { BackupOptions } from "./options.ts";
import { findParents, type OnUnreadable, type Parents } from "./parents.ts";

export interface BoundServer {
  readonly view: SourceView;
  readonly server: ServerDescription;
  /** What its backups are kept under. */
  readonly name: string;
  readonly parents: Parents;
}

/** @throws {CyrvaultError} `CONFIG_INVALID`, `SOURCE_INVALID`, `IO`. */
export async function bindServer(
  options: BackupOptions,
  repository: Repository,
  onUnreadable?: OnUnreadable,
): Promise<BoundServer> {
  const { config, includes, withSearch, root, mappings } = options;
  const view = new SourceView(root, mappings);
  const described = describeServer({ view, config, includes, withSearch });
  const server = options.only === undefined ? described : withListOnly(described);
  const { serverName } = server.layout;
  const ofServer = options.server ?? (serverName === undefined ? hostname() : toText(serverName));
  const name = options.only === undefined ? ofServer : listSeriesOf(ofServer);
  return { view, server, name, parents: await findParents(repository, name, onUnreadable) };
}
