/** The text mailbox list that comes beside what is restored: for `ctl_mboxlist -u`, and for people. */
import { type ByteString, fromText } from "../base/byte-string.ts";
import type { Content, ManifestRoot } from "../manifest/model.ts";
import type { RestoreSelection } from "./selection.ts";

export interface TextList {
  readonly name: ByteString;
  readonly content: Content;
  readonly mode: number;
  readonly mtimeNs: bigint;
}

/** undefined: the backup has none, or it is not asked for. */
export function textListOf(root: ManifestRoot, selection: RestoreSelection): TextList | undefined {
  const { backup, mailboxList, startedMs } = root;
  if (mailboxList === undefined || !selection.takesMailboxList) return undefined;
  return {
    name: fromText(`cyrvault-mailbox-list-${backup}.txt`),
    content: mailboxList,
    mode: 0o600,
    mtimeNs: BigInt(startedMs) * 1_000_000n,
  };
}
