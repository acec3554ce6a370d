/** Records of mailboxes.db as text (up to 2.4). Source: as mailbox-list.ts. */
import type { ByteString } from "../base/byte-string.ts";
import {
  badRecord,
  joinAcl,
  type MailboxListEntry,
  mailboxState,
  splitAcl,
  withoutUndefined,
} from "./mailbox-list-entry.ts";
import { typeFromNumber } from "./mailbox-type.ts";

/** `0 default fred TAB lrs TAB`, with `server!` before the partition, or `(uniqueid … specialuse …) ` before it all. */
export function parseTextRecord(name: ByteString, text: ByteString): MailboxListEntry {
  const match = /^(?:\(([^()]*)\) ?)?(\d{1,9}) (?:([^ !]*)!)?([^ ]*) (.*)$/s.exec(text);
  if (match === null) throw badRecord("it is neither a list nor `type partition acl`");
  const [, extended = "", number = "", server, partition = "", aclText = ""] = match;
  const mailboxType = typeFromNumber(Number(number));
  if (mailboxType === undefined) throw badRecord(`its type ${number} is not known`);
  const words = extended.split(" ");
  const extra = (key: string): ByteString | undefined => {
    const at = words.findIndex((word, index) => index % 2 === 0 && word === key);
    return at < 0 ? undefined : (words[at + 1] as ByteString | undefined);
  };
  const acl = splitAcl(aclText as ByteString);
  return withoutUndefined({
    name,
    mailboxType,
    acl,
    aclText: joinAcl(acl) === aclText ? undefined : (aclText as ByteString),
    uniqueid: extra("uniqueid"),
    partition: partition as ByteString,
    server: server as ByteString | undefined,
    legacySpecialUse: extra("specialuse"),
    ...mailboxState(mailboxType, server as ByteString | undefined, true),
    history: [],
  });
}
