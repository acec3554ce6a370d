/** `--only mailbox-list`: what of a server is looked at then. */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import type { ServerRoot } from "../source/roots.ts";
import type { ServerDescription } from "../source/server.ts";
import { isWithin } from "../source/view.ts";
import type { Keep } from "./survey.ts";

/** The root that the list lies in, or is, and imapd.conf. */
export function withListOnly(server: ServerDescription): ServerDescription {
  const { path } = server.layout.databases.mailboxes;
  const roots = server.roots.filter(
    (root) =>
      root.path === server.configPath ||
      root.path === path ||
      (root.kind === "config" && path !== undefined && isWithin(path, root.path)),
  );
  return { ...server, roots, notes: [] };
}

/** Of a root, all but the list and the directories on the way to it is left out. */
export function keepOfList(list: ByteString | undefined, root: ServerRoot, relative: ByteString): Keep {
  const path = joinPath(root.path, relative);
  return list !== undefined && isWithin(list, path)
    ? { fileClass: "critical", leftOut: undefined }
    : { fileClass: "critical", leftOut: "the mailbox list alone was asked for (--only mailbox-list)" };
}
