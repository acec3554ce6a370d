/**
 * The two truths about which mailboxes there are, joined: what the mailbox list names, and which directories are
 * there. What is only on one side is named. Pure but for reading cyrus.header where a directory is in no list.
 */
import { type ByteString, toText } from "../base/byte-string.ts";
import { ByteColumn, KeyTable, NumberColumn } from "../base/columns.ts";
import type { MailboxHeader } from "../cyrus/mailbox-header.ts";
import { nameProblem } from "../cyrus/mailbox-name.ts";
import {
  legacyMailboxPaths,
  mailboxFromPath,
  type PathRules,
  uuidMailboxPath,
} from "../cyrus/mailbox-path.ts";
import type { FindingSink } from "./finding-sink.ts";
import type { ListedMailbox, ListedMailboxes } from "./listed-mailboxes.ts";
import type { MailboxPlace, MailboxPlaces } from "./mailbox-places.ts";
import { MailboxTasks, type TaskColumns } from "./mailbox-tasks.ts";

export interface JoinInput {
  readonly listed: ListedMailboxes;
  readonly places: MailboxPlaces;
  readonly rules: PathRules;
  readonly findings: FindingSink;
  readonly listPath: ByteString;
  /** Of a place that is in no list: it was made after the list was read, and is of a later moment. */
  readonly isYetToCome?: ((place: MailboxPlace) => boolean) | undefined;
  /** Reads the cyrus.header of a place; undefined where there is none that can be read. */
  readonly readHeader: (place: MailboxPlace) => MailboxHeader | undefined;
}

export interface JoinResult {
  readonly tasks: MailboxTasks;
  readonly remote: number;
}

export function joinMailboxes(input: JoinInput): JoinResult {
  const { listed, places, findings, listPath } = input;
  const tasks = new Gathering(listed, places);
  const lost: number[] = [];
  const owners = new KeyTable();
  let remote = 0;

  for (let row = 0; row < listed.length; row++) {
    const kind = listed.kind(row);
    if (kind === "remote") remote++;
    if (kind !== "local") continue;
    const list = listed.get(row);
    const problem = nameProblem(list.name);
    if (problem !== undefined) {
      findings.add(
        "mailbox-name-invalid",
        "error",
        listPath,
        `the list names a mailbox that can't be one: ${problem}`,
        { mailbox: list.name },
      );
      continue;
    }
    const place = placeOf(list, places, input.rules);
    if (place === undefined) lost.push(row);
    else if (tasks.isClaimed(place)) {
      findings.add(
        "uniqueid-duplicate",
        "error",
        places.get(place).directories[0]?.path ?? listPath,
        `two mailboxes of the list share one directory: ${toText(list.name)} is kept under the other's name`,
        { mailbox: list.name },
      );
    } else {
      tasks.add(list.name, row, place);
      const { uniqueid } = list;
      if (uniqueid === undefined) continue;
      const other = owners.find(uniqueid, (one) => listed.isUniqueid(one, uniqueid));
      if (other === undefined) owners.add(uniqueid, row);
      else
        findings.add(
          "uniqueid-duplicate",
          "warning",
          listPath,
          `it has the same uniqueid as ${toText(listed.name(other))}: others' seen state and annotations are mixed up`,
          { mailbox: list.name },
        );
    }
  }

  const lostById = new Map<ByteString | undefined, number>();
  const lostByName = new Map<ByteString, number>();
  for (const row of lost) {
    const { uniqueid, name } = listed.get(row);
    if (uniqueid !== undefined) lostById.set(uniqueid, row);
    lostByName.set(name, row);
  }
  for (let at = 0; at < places.length; at++) {
    if (tasks.isClaimed(at)) continue;
    const place = places.get(at);
    const path = place.directories[0]?.path as ByteString;
    const header = input.readHeader(place);
    const row =
      lostById.get(header?.uniqueId) ??
      (header?.name === undefined ? undefined : lostByName.get(header.name));
    const list = row === undefined ? undefined : listed.get(row);
    if (list !== undefined && !tasks.has(list.name)) {
      // The directory is not where the list's rules put it, but its header says that it is the one.
      tasks.add(list.name, row, at);
      lostByName.delete(list.name);
      lostById.delete(list.uniqueid);
      continue;
    }
    if (input.isYetToCome?.(place) === true) continue;
    const name = unlistedName(place, header, input.rules, tasks);
    tasks.add(name, undefined, at);
    findings.add(
      "mailbox-unlisted",
      "warning",
      path,
      "a mailbox's directory that the mailbox list does not name",
      { mailbox: name },
    );
  }
  for (const [name, row] of lostByName) {
    const { partition = "?" as ByteString } = listed.get(row);
    findings.add(
      "mailbox-missing",
      "error",
      listPath,
      `the list names a mailbox (partition ${toText(partition)}) and its directory is not there`,
      { mailbox: name },
    );
  }
  return { tasks: tasks.sorted(), remote };
}

/** Tasks as they are found, each name and each place once. */
class Gathering {
  readonly #columns: TaskColumns;
  readonly #byName = new KeyTable();
  readonly #claimed: Uint8Array;

  constructor(listed: ListedMailboxes, places: MailboxPlaces) {
    const [row, place] = [new NumberColumn("u32"), new NumberColumn("u32")];
    this.#columns = { listed, places, names: new ByteColumn(), row, place };
    this.#claimed = new Uint8Array(places.length);
  }

  /** A name that is there already (a damaged list has it twice) goes to the later place. */
  add(name: ByteString, row: number | undefined, place: number): void {
    const { names, row: rows, place: placeOf } = this.#columns;
    let task = this.#find(name);
    if (task === undefined) {
      task = names.add(name);
      this.#byName.add(name, task);
    }
    rows.set(task, row === undefined ? 0 : row + 1);
    placeOf.set(task, place);
    this.#claimed[place] = 1;
  }

  has(name: ByteString): boolean {
    return this.#find(name) !== undefined;
  }

  isClaimed(place: number): boolean {
    return this.#claimed[place] === 1;
  }

  /** The list is in the order of names, or nearly: sorting it costs little more than looking through it. */
  sorted(): MailboxTasks {
    const { names } = this.#columns;
    const order = Array.from({ length: names.length }, (_, task) => task);
    return new MailboxTasks(
      this.#columns,
      order.sort((a, b) => names.compare(a, b)),
    );
  }

  #find(name: ByteString): number | undefined {
    return this.#byName.find(name, (task) => this.#columns.names.equals(task, name));
  }
}

/** Where the rules of either layout put it. Elsewhere its header tells: joinMailboxes asks that afterwards. */
function placeOf(list: ListedMailbox, places: MailboxPlaces, rules: PathRules): number | undefined {
  const { partition } = list;
  if (partition === undefined) return undefined;
  const byId = list.uniqueid === undefined ? undefined : uuidMailboxPath(list.uniqueid);
  const atId = byId === undefined ? undefined : places.find(partition, byId);
  // The letter l says name-based directories; lists older than 3.6 know nothing else.
  if (atId !== undefined && !list.mailboxType.includes("l")) return atId;
  for (const relative of legacyMailboxPaths(list.name, rules)) {
    const place = places.find(partition, relative);
    if (place !== undefined) return place;
  }
  return atId;
}

function unlistedName(
  place: MailboxPlace,
  header: MailboxHeader | undefined,
  rules: PathRules,
  taken: { has(name: ByteString): boolean },
): ByteString {
  const byPath = mailboxFromPath(place.relative, rules);
  for (const name of [header?.name, byPath?.layout === "legacy" ? byPath.name : undefined]) {
    if (name !== undefined && nameProblem(name) === undefined && !taken.has(name)) return name;
  }
  return `?${place.directories[0]?.path ?? place.relative}` as ByteString;
}
