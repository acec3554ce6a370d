/** Records of mailboxes.db as dlists (2.5 and newer). Source: as mailbox-list.ts. */
import type { ByteString } from "../base/byte-string.ts";
import { type Dlist, parseWholeDlist } from "./dlist.ts";
import {
  type AclEntry,
  badRecord,
  type FormerName,
  type MailboxListEntry,
  mailboxState,
  withoutUndefined,
} from "./mailbox-list-entry.ts";
import { nameFromDbname } from "./mailbox-name.ts";
import { normalizeType } from "./mailbox-type.ts";

/** @param alwaysLegacy - up to 3.4: files of every mailbox lie by name. */
export function parseDlistRecord(
  name: ByteString,
  value: Buffer,
  alwaysLegacy: boolean,
  history: readonly FormerName[],
): MailboxListEntry {
  const usual = parseUsualRecord(name, value, alwaysLegacy, history);
  if (usual !== undefined) return usual;
  const fields = new Fields(parseWholeDlist(value, { what: "the record" }));
  const mailboxType = fields.type();
  const server = fields.text("S");
  return withoutUndefined({
    name,
    mailboxType,
    acl: fields.acl(),
    uniqueid: fields.text("I"),
    partition: fields.text("P"),
    server,
    ...fields.numbers(),
    jmapId: fields.text("J"),
    ...mailboxState(mailboxType, server, alwaysLegacy),
    history,
  });
}

/**
 * What nearly every record of 3.6 looks like: nothing quoted, no server. Read in one go, several times as fast as by way
 * of its list; whatever is not exactly so is left to that way.
 */
function parseUsualRecord(
  name: ByteString,
  value: Buffer,
  alwaysLegacy: boolean,
  history: readonly FormerName[],
): MailboxListEntry | undefined {
  const match = USUAL_RECORD.exec(value.toString("latin1"));
  if (match === null || match[0].includes("NIL")) return undefined;
  const [, letters = "", uniqueid = "", partition = "", uidvalidity, created, folder, mtime, rights] = match;
  const mailboxType = normalizeType(letters);
  if (mailboxType === undefined) return undefined;
  const acl = usualAcl(rights ?? "");
  const idStart = "%(T ".length + letters.length + " I ".length;
  return {
    name,
    mailboxType,
    acl,
    // Kept for long, and not to keep the whole record with it.
    uniqueid: value.toString("latin1", idStart, idStart + uniqueid.length) as ByteString,
    partition: partition as ByteString,
    uidvalidity: Number(uidvalidity),
    createdModseq: BigInt(created as string),
    folderModseq: BigInt(folder as string),
    mtime: Number(mtime),
    ...mailboxState(mailboxType, undefined, alwaysLegacy),
    history,
  };
}

let lastAcl: { readonly text: string; readonly acl: readonly AclEntry[] } = { text: "", acl: [] };

/** Neighbours are mostly one user's mailboxes, with one ACL. */
function usualAcl(text: string): readonly AclEntry[] {
  if (text === lastAcl.text) return lastAcl.acl;
  const words = text === "" ? [] : (text.split(" ") as ByteString[]);
  const acl: AclEntry[] = [];
  for (let i = 0; i < words.length; i += 2)
    acl.push({ identifier: words[i] as ByteString, rights: words[i + 1] as ByteString });
  lastAcl = { text, acl };
  return acl;
}

/** Atoms of characters that mean nothing in any place; numbers that are exact as a double. */
const ATOM = "[!#$&'+,\\-./0-9:;<=>?@A-Z[\\]^_`a-z|}~]+";
const NUMBER = "(\\d{1,15})";
const USUAL_RECORD = new RegExp(
  `^%\\(T ([a-z]{1,15}) I (${ATOM}) P (${ATOM}) V ${NUMBER} C ${NUMBER} F ${NUMBER} M ${NUMBER}(?: A %\\(((?:${ATOM} ${ATOM}(?: ${ATOM} ${ATOM})*)?)\\))?\\)$`,
);

/** Former names in a record by uniqueid. */
export function parseHistory(value: Buffer): FormerName[] {
  const list = parseWholeDlist(value, { what: "the record by uniqueid" });
  const history = list.kind === "pairs" ? list.entries.find(({ key }) => key === "H")?.value : undefined;
  if (history?.kind !== "list") return [];
  return history.items.map((item) => {
    const fields = new Fields(item);
    const dbname = fields.text("N");
    if (dbname === undefined) throw badRecord("a former name is missing");
    return withoutUndefined({
      name: nameFromDbname(dbname),
      mailboxType: fields.type(),
      partition: fields.text("P"),
      ...fields.numbers(),
    });
  });
}

/** The fields of a dlist record, each checked when it is asked for. */
class Fields {
  readonly #values = new Map<string, Dlist>();

  constructor(list: Dlist) {
    if (list.kind !== "pairs") throw badRecord("it is not a list of keys and values");
    for (const { key, value } of list.entries) this.#values.set(key, value);
  }

  text(key: string): ByteString | undefined {
    const value = this.#values.get(key);
    if (value === undefined || value.kind === "nil") return undefined;
    if (value.kind !== "string") throw badRecord(`its field ${key} is not text`);
    return value.value;
  }

  type(): ByteString {
    const letters = this.text("T") ?? "";
    const type = normalizeType(letters);
    if (type === undefined) throw badRecord(`its type ${letters} is not known`);
    return type;
  }

  numbers() {
    return {
      uidvalidity: this.#small("V"),
      createdModseq: this.#big("C"),
      folderModseq: this.#big("F"),
      mtime: this.#small("M"),
    };
  }

  acl(): AclEntry[] {
    const value = this.#values.get("A");
    if (value === undefined || value.kind === "nil") return [];
    if (value.kind === "list" && value.items.length === 0) return [];
    if (value.kind !== "pairs") throw badRecord("its ACL is not a list of keys and values");
    return value.entries.map(({ key, value: rights }) => {
      if (rights.kind !== "string") throw badRecord("its ACL has rights that are no text");
      return { identifier: key, rights: rights.value };
    });
  }

  #big(key: string): bigint | undefined {
    const text = this.text(key);
    if (text === undefined) return undefined;
    if (!/^\d{1,20}$/.test(text)) throw badRecord(`its field ${key} is not a number`);
    return BigInt(text);
  }

  #small(key: string): number | undefined {
    const value = this.#big(key);
    if (value !== undefined && value > BigInt(Number.MAX_SAFE_INTEGER))
      throw badRecord(`its field ${key} is too large`);
    return value === undefined ? undefined : Number(value);
  }
}
