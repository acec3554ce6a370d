/**
 * The two truths about which mailboxes there are, joined: what the mailbox list names, and which directories are
 * there. What is only on one side is named. Pure but for reading cyrus.header where a directory is in no list.
 */
import { type ByteString, toText } from "../base/byte-string.ts";
import type { MailboxHeader } from "../cyrus/mailbox-header.ts";
import { nameProblem } from "../cyrus/mailbox-name.ts";
import {
  legacyMailboxPaths,
  mailboxFromPath,
  type PathRules,
  uuidMailboxPath,
} from "../cyrus/mailbox-path.ts";
import type { FindingSink } from "./finding-sink.ts";
import type { MailboxPlace, MailboxPlaces } from "./mailbox-places.ts";

/** An entry of the mailbox list, as far as a backup needs it. */
export interface ListedMailbox {
  readonly name: ByteString;
  readonly uniqueid: ByteString | undefined;
  readonly partition: ByteString | undefined;
  /** Letters as since 3.6. */
  readonly mailboxType: ByteString;
  /** `id TAB rights TAB …`. */
  readonly acl: ByteString;
  readonly uidvalidity: number | undefined;
  /**
   * `local`: has directories here. `remote`: on another server of a Murder. `none`: a name only (a tombstone, an
   * intermediate name, a reserved one).
   */
  readonly kind: "local" | "remote" | "none";
}

export interface MailboxTask {
  /** The key of its entry in the manifest. */
  readonly name: ByteString;
  readonly list: ListedMailbox | undefined;
  readonly place: MailboxPlace | undefined;
}

/** A mailbox with a directory here. */
export type PlacedTask = MailboxTask & { readonly place: MailboxPlace };

export interface JoinInput {
  readonly listed: Iterable<ListedMailbox>;
  readonly places: MailboxPlaces;
  readonly rules: PathRules;
  readonly findings: FindingSink;
  readonly listPath: ByteString;
  /** Reads the cyrus.header of a place; undefined where there is none that can be read. */
  readonly readHeader: (place: MailboxPlace) => MailboxHeader | undefined;
}

export interface JoinResult {
  /** Ascending by name; each has a place. */
  readonly tasks: PlacedTask[];
  readonly remote: number;
}

export function joinMailboxes(input: JoinInput): JoinResult {
  const { places, findings, listPath } = input;
  const claimed = new Set<MailboxPlace>();
  const tasks = new Map<ByteString, PlacedTask>();
  const lost: ListedMailbox[] = [];
  const owners = new Map<ByteString, ByteString>();
  let remote = 0;

  for (const list of input.listed) {
    if (list.kind === "remote") remote++;
    if (list.kind !== "local") continue;
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
    if (place === undefined) lost.push(list);
    else if (claimed.has(place)) {
      findings.add(
        "uniqueid-duplicate",
        "error",
        place.directories[0]?.path ?? listPath,
        `two mailboxes of the list share one directory: ${toText(list.name)} is kept under the other's name`,
        { mailbox: list.name },
      );
    } else {
      claimed.add(place);
      tasks.set(list.name, { name: list.name, list, place });
      if (list.uniqueid !== undefined) {
        const other = owners.get(list.uniqueid);
        if (other === undefined) owners.set(list.uniqueid, list.name);
        else
          findings.add(
            "uniqueid-duplicate",
            "warning",
            listPath,
            `it has the same uniqueid as ${toText(other)}: others' seen state and annotations are mixed up`,
            { mailbox: list.name },
          );
      }
    }
  }

  const lostById = new Map(
    lost.filter(({ uniqueid }) => uniqueid !== undefined).map((list) => [list.uniqueid, list]),
  );
  const lostByName = new Map(lost.map((list) => [list.name, list]));
  for (const place of places.all()) {
    if (claimed.has(place)) continue;
    const path = place.directories[0]?.path as ByteString;
    const header = input.readHeader(place);
    const list =
      lostById.get(header?.uniqueId) ??
      (header?.name === undefined ? undefined : lostByName.get(header.name));
    if (list !== undefined && !tasks.has(list.name)) {
      // The directory is not where the list's rules put it, but its header says that it is the one.
      tasks.set(list.name, { name: list.name, list, place });
      lostByName.delete(list.name);
      lostById.delete(list.uniqueid);
      continue;
    }
    const name = unlistedName(place, header, input.rules, tasks);
    tasks.set(name, { name, list: undefined, place });
    findings.add(
      "mailbox-unlisted",
      "warning",
      path,
      "a mailbox's directory that the mailbox list does not name",
      { mailbox: name },
    );
  }
  for (const list of lostByName.values()) {
    findings.add(
      "mailbox-missing",
      "error",
      listPath,
      `the list names a mailbox (partition ${toText(list.partition ?? ("?" as ByteString))}) and its directory is not there`,
      { mailbox: list.name },
    );
  }
  return { tasks: [...tasks.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), remote };
}

/** Where the rules of either layout put it. Elsewhere its header tells: joinMailboxes asks that afterwards. */
function placeOf(list: ListedMailbox, places: MailboxPlaces, rules: PathRules): MailboxPlace | undefined {
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
  taken: ReadonlyMap<ByteString, unknown>,
): ByteString {
  const byPath = mailboxFromPath(place.relative, rules);
  for (const name of [header?.name, byPath?.layout === "legacy" ? byPath.name : undefined]) {
    if (name !== undefined && nameProblem(name) === undefined && !taken.has(name)) return name;
  }
  return `?${place.directories[0]?.path ?? place.relative}` as ByteString;
}
