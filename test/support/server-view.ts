/**
 * All that clients can see of a server, as a plain value: two servers with equal views cannot be told apart by
 * their users. Looking changes nothing (EXAMINE, PEEK), but for one thing: the first sign-in of a user to ManageSieve
 * makes that user's `#sieve` mailbox.
 */
import { createHash } from "node:crypto";
import type { CyrusServer } from "./cyrus-server.ts";
import { ImapClient, type ImapValue, quote, textOf } from "./imap-client.ts";
import { SieveClient, type SieveScript } from "./sieve-client.ts";

export interface MessageView {
  readonly uid: number;
  readonly flags: readonly string[];
  readonly internalDate: string;
  readonly modseq: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly annotations: readonly string[];
}

export interface FolderView {
  readonly attributes: string;
  /** Response lines of EXAMINE and STATUS: UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ, flags in use, the mailbox's id, … */
  readonly state: readonly string[];
  readonly rights: string;
  readonly acl: string;
  readonly quota: readonly string[];
  readonly metadata: readonly string[];
  readonly messages: readonly MessageView[];
}

export interface UserView {
  readonly folders: Readonly<Record<string, FolderView>>;
  readonly subscriptions: readonly string[];
  readonly sieve: readonly SieveScript[];
}

export interface ServerView {
  readonly serverMetadata: readonly string[];
  /** By user; the admin, who alone sees deleted mailboxes, is one of them. */
  readonly users: Readonly<Record<string, UserView>>;
}

export async function viewServer(server: CyrusServer, users: readonly string[]): Promise<ServerView> {
  const views: Record<string, UserView> = {};
  let serverMetadata: string[] = [];
  for (const user of [...users, "cyrus"]) {
    const client = await ImapClient.connect(server.ports.imap, user);
    if (user === "cyrus") serverMetadata = await viewServerMetadata(client);
    const sieve = user === "cyrus" ? [] : await viewSieve(server, user);
    views[user] = { ...(await viewFolders(client)), sieve };
    await client.logout();
  }
  return { serverMetadata, users: views };
}

/** Messages of all folders of all users, for tests that want to be sure they looked at something. */
export function countMessages(view: ServerView): number {
  let count = 0;
  for (const user of Object.values(view.users)) {
    for (const folder of Object.values(user.folders)) count += folder.messages.length;
  }
  return count;
}

async function viewServerMetadata(client: ImapClient): Promise<string[]> {
  const metadata = entries(await client.command(`GETMETADATA "" (DEPTH infinity) (/shared)`));
  // How full the disk is belongs to the machine, not to the server's content.
  return metadata.filter((entry) => !entry.includes("/freespace"));
}

async function viewFolders(client: ImapClient): Promise<Omit<UserView, "sieve">> {
  const folders: Record<string, FolderView> = {};
  for (const [, attributes, , name] of await client.command(
    'LIST "" "*" RETURN (SUBSCRIBED SPECIAL-USE CHILDREN)',
  )) {
    folders[textOf(name)] = await viewFolder(client, textOf(name), textOf(attributes));
  }
  const subscriptions = lines(await client.command('LSUB "" "*"')).sort();
  return { folders, subscriptions };
}

async function viewFolder(client: ImapClient, name: string, attributes: string): Promise<FolderView> {
  const rights = lines(await client.command(`MYRIGHTS ${quote(name)}`)).join();
  const mayRead = / \S*r\S*$/.test(rights);
  const mayAdminister = / \S*a\S*$/.test(rights);
  const state: string[] = [];
  const messages: MessageView[] = [];
  if (mayRead && !attributes.includes("\\Noselect")) {
    const items = "MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE";
    state.push(...lines(await client.command(`STATUS ${quote(name)} (${items})`)));
    state.push(...lines(await client.examine(name)));
    messages.push(...(await viewMessages(client)));
    await client.command("UNSELECT");
  }
  return {
    attributes,
    state,
    rights,
    acl: mayAdminister ? lines(await client.command(`GETACL ${quote(name)}`)).join() : "",
    quota: mayRead ? lines(await client.command(`GETQUOTAROOT ${quote(name)}`)) : [],
    metadata: mayRead
      ? entries(await client.command(`GETMETADATA ${quote(name)} (DEPTH infinity) (/shared /private)`))
      : [],
    messages,
  };
}

async function viewMessages(client: ImapClient): Promise<MessageView[]> {
  const views: MessageView[] = [];
  const items =
    "UID FLAGS INTERNALDATE MODSEQ RFC822.SIZE ANNOTATION (/* (value.priv value.shared)) BODY.PEEK[]";
  for (const uid of await client.uids()) {
    for (const { items: found } of await client.fetch(String(uid), items)) {
      const body = found.get("BODY[]");
      const flags = found.get("FLAGS");
      if (!Array.isArray(flags) || body === undefined)
        throw new Error(`message ${uid} came without its parts`);
      const bytes = Buffer.isBuffer(body) ? body : Buffer.from(textOf(body), "latin1");
      views.push({
        uid,
        flags: flags.map(textOf).sort(),
        internalDate: textOf(found.get("INTERNALDATE")),
        modseq: textOf(found.get("MODSEQ")),
        bytes: Number(textOf(found.get("RFC822.SIZE"))),
        sha256: createHash("sha256").update(bytes).digest("hex"),
        annotations: annotationsOf(found.get("ANNOTATION")),
      });
    }
  }
  return views;
}

async function viewSieve(server: CyrusServer, user: string): Promise<SieveScript[]> {
  const client = await SieveClient.connect(server.ports.sieve, user);
  const scripts = await client.list();
  await client.logout();
  return scripts;
}

/** `(entry (value.priv x value.shared NIL) …)`: those that have a value. */
function annotationsOf(value: ImapValue | undefined): string[] {
  const found: string[] = [];
  if (!Array.isArray(value)) return found;
  for (let i = 0; i + 1 < value.length; i += 2) {
    const values = value[i + 1];
    if (!Array.isArray(values)) continue;
    for (let j = 0; j + 1 < values.length; j += 2) {
      if (values[j + 1] !== null)
        found.push(`${textOf(value[i])} ${textOf(values[j])} ${textOf(values[j + 1])}`);
    }
  }
  return found.sort();
}

/** Name and value of every metadata entry that has a value. */
function entries(answers: readonly ImapValue[][]): string[] {
  const found: string[] = [];
  for (const [, , list] of answers) {
    if (!Array.isArray(list)) continue;
    for (let i = 0; i + 1 < list.length; i += 2) {
      if (list[i + 1] !== null) found.push(`${textOf(list[i])} ${textOf(list[i + 1])}`);
    }
  }
  return found.sort();
}

function lines(answers: readonly ImapValue[][]): string[] {
  return answers.map((answer) => answer.map(textOf).join(" "));
}
