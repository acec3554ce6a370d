import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { unpackStore } from "./database-fixtures.ts";

const FIXTURES = new URL("../../fixtures/cyrus/", import.meta.url).pathname;

export interface MailboxFixture {
  /** The directory below test/fixtures/cyrus. */
  readonly name: string;
  readonly index: Buffer;
  readonly header: Buffer;
  /** `cyrus.annotations`, where it is kept. */
  readonly annotations: Buffer | undefined;
  /** By UID. */
  readonly messages: ReadonlyMap<number, Buffer>;
}

let known: readonly MailboxFixture[] | undefined;

/** Every mailbox among the fixtures: those in folders, and those of the packed 3.6.1 store. Read once. */
export function mailboxFixtures(): readonly MailboxFixture[] {
  known ??= readMailboxes();
  return known;
}

function readMailboxes(): MailboxFixture[] {
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(FIXTURES, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.set(path.slice(FIXTURES.length), readFileSync(path));
  }
  for (const [path, bytes] of unpackStore()) {
    // The store has its small files on a metapartition: put each beside its messages.
    files.set(`3.6.1/${path.replace(/^(meta|spool)\//, "")}`, bytes);
  }
  const mailboxes: MailboxFixture[] = [];
  for (const [path, index] of files) {
    if (!path.endsWith("/cyrus.index")) continue;
    const name = dirname(path);
    const messages = new Map<number, Buffer>();
    for (const [other, bytes] of files) {
      const uid = /\/(\d+)\.$/.exec(other)?.[1];
      if (dirname(other) === name && uid !== undefined) messages.set(Number(uid), bytes);
    }
    const header = files.get(`${name}/cyrus.header`);
    if (header === undefined) throw new Error(`${name} has no cyrus.header`);
    mailboxes.push({ name, index, header, annotations: files.get(`${name}/cyrus.annotations`), messages });
  }
  return mailboxes.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function mailboxFixture(name: string): MailboxFixture {
  const found = mailboxFixtures().find((it) => it.name === name);
  if (found === undefined) throw new Error(`no fixture ${name}`);
  return found;
}
