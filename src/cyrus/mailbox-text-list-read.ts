/**
 * Reads what `ctl_mboxlist -d` prints: the JSON of 3.6 and newer, or lines `name TAB [type] partition acl`.
 *
 * From cyrus-imapd, imap/ctl_mboxlist.c, dump_cb and do_undump, by version as in mailbox-text-list.ts.
 */
import { type ByteString, fromBytes, fromText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { joinAcl, type MailboxListEntry, splitAcl } from "./mailbox-list-entry.ts";
import { nameProblem } from "./mailbox-name.ts";
import { normalizeType, typeFromNumber } from "./mailbox-type.ts";

export type TextListItem =
  | { readonly kind: "entry"; readonly entry: MailboxListEntry }
  | { readonly kind: "bad"; readonly key: ByteString; readonly reason: string };

/** @throws {CyrvaultError} `CYRUS_BAD_FORMAT`: it begins like JSON and is none. */
export function readTextList(text: Uint8Array): TextListItem[] {
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  const first = bytes.subarray(0, 64).toString("latin1").trimStart()[0];
  const items = first === "{" ? readJson(bytes) : readLines(fromBytes(bytes));
  return items.map((item) => {
    if (item.kind === "bad") return item;
    const reason = nameProblem(item.entry.name);
    return reason === undefined ? item : { kind: "bad", key: item.entry.name, reason };
  });
}

function readJson(bytes: Buffer): TextListItem[] {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw new CyrvaultError("CYRUS_BAD_FORMAT", "text mailbox list: not valid JSON", { cause });
  }
  if (!isObject(value)) throw new CyrvaultError("CYRUS_BAD_FORMAT", "text mailbox list: not a JSON object");
  return Object.entries(value).map(([key, fields]) => {
    const name = fromText(key);
    if (!isObject(fields)) return { kind: "bad", key: name, reason: "it is no object" };
    const mailboxType = normalizeType(text(fields["mbtype"]) ?? "e");
    if (mailboxType === undefined) return { kind: "bad", key: name, reason: "an unknown type of mailbox" };
    const acl = isObject(fields["acl"])
      ? Object.entries(fields["acl"]).map(([identifier, rights]) => ({
          identifier: fromText(identifier),
          rights: fromText(text(rights) ?? ""),
        }))
      : [];
    return { kind: "entry", entry: makeEntry(name, mailboxType, acl, fields) };
  });
}

function makeEntry(
  name: ByteString,
  mailboxType: ByteString,
  acl: MailboxListEntry["acl"],
  fields: Readonly<Record<string, unknown>>,
): MailboxListEntry {
  const [uniqueid, partition, server, uidvalidity] = ["uniqueid", "partition", "server", "uidvalidity"].map(
    (key) => text(fields[key]),
  );
  return {
    name,
    mailboxType,
    acl,
    ...(uniqueid ? { uniqueid: fromText(uniqueid) } : {}),
    ...(partition ? { partition: fromText(partition) } : {}),
    ...(server ? { server: fromText(server) } : {}),
    ...(uidvalidity && /^\d+$/.test(uidvalidity) ? { uidvalidity: Number(uidvalidity) } : {}),
    ...kindOf(mailboxType, server !== undefined && server !== ""),
    legacyDirectories: mailboxType.includes("l"),
    history: [],
  };
}

function readLines(text: ByteString): TextListItem[] {
  const items: TextListItem[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const tab = line.indexOf("\t");
    const key = (tab < 0 ? line : line.slice(0, tab)) as ByteString;
    const match = tab < 0 ? null : /^(?:(\d+) )?([^ \t]+)[ \t]?(.*)$/s.exec(line.slice(tab + 1));
    const mailboxType = match?.[1] === undefined ? fromText("e") : typeFromNumber(Number(match[1]));
    if (match === null || mailboxType === undefined) {
      items.push({ kind: "bad", key, reason: "the line is not of a known form" });
      continue;
    }
    const place = match[2] as ByteString;
    const bang = place.indexOf("!");
    const acl = splitAcl(match[3] as ByteString);
    const aclText = match[3] as ByteString;
    items.push({
      kind: "entry",
      entry: {
        name: key,
        mailboxType,
        acl,
        ...(joinAcl(acl) === aclText ? {} : { aclText }),
        partition: place.slice(bang + 1) as ByteString,
        ...(bang < 0 ? {} : { server: place.slice(0, bang) as ByteString }),
        ...kindOf(mailboxType, bang >= 0),
        legacyDirectories: true,
        history: [],
      },
    });
  }
  return items;
}

function kindOf(
  type: ByteString,
  elsewhere: boolean,
): Pick<MailboxListEntry, "remote" | "tombstone" | "intermediate" | "reserved"> {
  return {
    remote: type.includes("r") || elsewhere,
    tombstone: type.includes("d"),
    intermediate: type.includes("i"),
    reserved: type.includes("z"),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
