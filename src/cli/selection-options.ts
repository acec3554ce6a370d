/** Which part of a backup a restore or an export is about, where its paths go, and whose it becomes. */
import type { Command } from "commander";
import { fromText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { groupId, userId } from "../base/posix-owners.ts";
import { toModifiedUtf7 } from "../cyrus/modified-utf7.ts";
import { parseUidSet, type RestoreOptions, type RestorePart } from "../restore/options.ts";
import { parseMapping } from "../source/view.ts";
import { collect } from "./command.ts";
import { type ExcludedGiven, excludedOptions } from "./excluded-options.ts";

export interface SelectionGiven extends ExcludedGiven {
  readonly server?: string;
  readonly only?: readonly string[];
  readonly user?: readonly string[];
  readonly mailbox?: readonly string[];
  readonly uid?: string;
  readonly map?: readonly string[];
  readonly owner?: string;
}

/** All but those of what was excluded, which come last in the help. */
export function addSelectionOptions(command: Command): Command {
  return command
    .option("--server <name>", "whose latest backup is meant, where there are several servers")
    .option(
      "--only <part>",
      "configdirectory, partition=NAME, sieve, mailbox-list, text-dumps or config; several times",
      collect,
    )
    .option("--user <user>", "one user's mailboxes and files; may be given several times", collect)
    .option("--mailbox <mailbox>", "as in IMAP LIST; may be given several times", collect)
    .option("--uid <set>", "only these messages of the mailboxes: 4,7:9,12:*")
    .option("--map <from=to>", "one path prefix goes elsewhere; may be given several times", collect)
    .option("--owner <user:group>", "everything belongs to them, instead of the owners recorded");
}

/** @throws {CyrvaultError} `USAGE`. */
export function selectionOptions(given: SelectionGiven): Omit<RestoreOptions, "target" | "overwrite"> {
  return {
    only: (given.only ?? []).map(parsePart),
    users: (given.user ?? []).map(fromText),
    mailboxes: (given.mailbox ?? []).flatMap((name) =>
      [...new Set([name, toModifiedUtf7(name)])].map(fromText),
    ),
    uids: given.uid === undefined ? undefined : parseUids(given.uid),
    mappings: (given.map ?? []).map(parseMapping),
    owner: given.owner === undefined ? undefined : parseOwner(given.owner),
    ...excludedOptions(given),
  };
}

function parsePart(text: string): RestorePart {
  if (text === "configdirectory" || text === "sieve" || text === "mailbox-list" || text === "config")
    return { part: text };
  if (text === "text-dumps") return { part: text };
  const partition = /^partition=(.+)$/.exec(text)?.[1];
  if (partition !== undefined) return { part: "partition", name: fromText(partition) };
  throw new CyrvaultError("USAGE", `--only ${text}: there is no such part`, {
    hint: "it is configdirectory, partition=NAME, sieve, mailbox-list, text-dumps or config",
  });
}

function parseUids(text: string): NonNullable<RestoreOptions["uids"]> {
  const uids = parseUidSet(text);
  if (uids !== undefined) return uids;
  throw new CyrvaultError("USAGE", `--uid ${text}: not a set of UIDs`, { hint: "write 42 or 4,7:9,12:*" });
}

/** Names or numbers. */
function parseOwner(text: string): NonNullable<RestoreOptions["owner"]> {
  const [user = "", group = "", ...rest] = text.split(":");
  const uid = /^\d{1,10}$/.test(user) ? Number(user) : userId(user);
  const gid = /^\d{1,10}$/.test(group) ? Number(group) : groupId(group);
  if (rest.length === 0 && uid !== undefined && gid !== undefined) return { uid, gid };
  throw new CyrvaultError("USAGE", `--owner ${text}: no such user and group`, {
    hint: "write USER:GROUP, as names that this machine knows or as numbers",
  });
}
