/** The join for a whole server, and which mailboxes were asked to be left out. */
import type { ByteString } from "../base/byte-string.ts";
import type { PathRules } from "../cyrus/mailbox-path.ts";
import type { ServerDescription } from "../source/server.ts";
import type { Decisions } from "./decisions.ts";
import { BufferedFindings, type FindingSink } from "./finding-sink.ts";
import { ListedMailboxes } from "./listed-mailboxes.ts";
import { joinMailboxes } from "./mailbox-join.ts";
import type { MailboxPlace, MailboxPlaces } from "./mailbox-places.ts";
import type { MailboxTasks } from "./mailbox-tasks.ts";
import type { MailboxList } from "./read-mailbox-list.ts";
import { readPlaceHeader } from "./read-place-header.ts";
import { requireRoomFor } from "./room-for-excluded.ts";

export interface ExcludedMailbox {
  readonly name: ByteString;
  readonly option: string;
}

export interface JoinedServer {
  readonly tasks: MailboxTasks;
  /** Of them, with the option that says so. */
  readonly excluded: readonly ExcludedMailbox[];
  /** Entries of the list that are on other servers of a Murder. */
  readonly remote: number;
}

export function joinServerMailboxes(
  { layout, configPath }: ServerDescription,
  list: Pick<MailboxList, "path" | "listed"> | undefined,
  places: MailboxPlaces,
  decisions: Decisions,
  findings: FindingSink,
  isYetToCome?: (place: MailboxPlace) => boolean,
): JoinedServer {
  const rules: PathRules = {
    hashImapSpool: layout.hashImapSpool,
    fullDirHash: layout.fullDirHash,
    virtualDomains: layout.virtDomains !== "off",
  };
  const { tasks, remote } = joinMailboxes({
    listed: list?.listed ?? new ListedMailboxes(),
    places,
    rules,
    // Without a list every directory would be an unlisted one: that the list is missing has been said.
    findings: list === undefined ? new BufferedFindings() : findings,
    listPath: list?.path ?? configPath,
    readHeader: readPlaceHeader,
    isYetToCome,
  });
  const excluded: ExcludedMailbox[] = [];
  if (decisions.mayExclude)
    for (const task of tasks) {
      const option = decisions.excludedBy(task);
      if (option !== undefined) excluded.push({ name: task.name, option });
    }
  requireRoomFor(excluded.map(({ name }) => name));
  return { tasks, excluded, remote };
}
