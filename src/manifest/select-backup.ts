/** Which backup is meant: an id, a unique beginning of one, `latest`, or `@TIME`. */
import { CyrvaultError } from "../base/errors.ts";
import { isListSeries } from "./list-series.ts";
import { type FromWall, localTime, parseMoment } from "./moment.ts";

export interface KnownBackup {
  readonly backup: string;
  readonly server: string;
  /** When it was taken, ms since the epoch. */
  readonly timeMs: number;
}

export interface SelectOptions {
  /** Only backups of this server. */
  readonly server?: string | undefined;
  readonly nowMs: number;
  /** What local time is. Default: the time zone of this process. */
  readonly fromWall?: FromWall;
}

/**
 * @param backups - all of a repository, in any order.
 * @throws {CyrvaultError} `USAGE`: not a selector, or `latest` and `@TIME` where several servers have backups and
 *   none is named. `BACKUP_NOT_FOUND`, `BACKUP_AMBIGUOUS`.
 */
export function selectBackup<B extends KnownBackup>(
  backups: readonly B[],
  selector: string,
  options: SelectOptions,
): B {
  const ofServer =
    options.server === undefined ? backups : backups.filter((backup) => backup.server === options.server);
  if (ofServer.length === 0) throw noneAtAll(backups, options.server);
  // Mailbox lists of their own are meant only when they are named, or there is nothing else.
  const whole = ofServer.filter(({ server }) => !isListSeries(server));
  const candidates = whole.length > 0 ? whole : ofServer;
  if (selector === "latest") return last(candidates, Number.POSITIVE_INFINITY, selector);
  if (selector.startsWith("@")) {
    const timeMs = parseMoment(selector.slice(1), options.nowMs, options.fromWall ?? localTime);
    if (timeMs === undefined) {
      throw new CyrvaultError("USAGE", `not a time: ${selector}`, {
        hint: "write @2026-11-20, @2026-11-20T03:00, @2026-11-20T03:00:00Z, @3h or @2d",
      });
    }
    return last(candidates, timeMs, selector);
  }
  return byId(ofServer, selector);
}

function byId<B extends KnownBackup>(backups: readonly B[], beginning: string): B {
  if (!/^[0-9A-Za-z-]+$/.test(beginning)) {
    throw new CyrvaultError("USAGE", `not a backup: ${JSON.stringify(beginning)}`, {
      hint: "name one by its id, the beginning of its id, latest or @TIME",
    });
  }
  const found = backups.filter(({ backup }) => backup.startsWith(beginning));
  const [first, second] = found;
  if (first === undefined) {
    throw new CyrvaultError("BACKUP_NOT_FOUND", `no backup has an id that begins with ${beginning}`, {
      hint: "`cyrvault list` shows what there is",
    });
  }
  if (second === undefined) return first;
  const exact = found.find(({ backup }) => backup === beginning);
  if (exact !== undefined) return exact;
  throw new CyrvaultError(
    "BACKUP_AMBIGUOUS",
    `${found.length} backups have an id that begins with ${beginning}`,
    {
      hint: `say more of it: ${someOf(found.map(({ backup }) => backup))}`,
      context: { count: found.length },
    },
  );
}

/** The last one at or before a moment; of two at the same moment the one with the greater id. */
function last<B extends KnownBackup>(backups: readonly B[], timeMs: number, selector: string): B {
  const servers = serversOf(backups);
  if (servers.length > 1) {
    throw new CyrvaultError("USAGE", `${selector} of which server? The repository holds ${servers.length}`, {
      hint: `add --server with one of: ${someOf(servers)}`,
      context: { servers: servers.length },
    });
  }
  const [found] = backups
    .filter((backup) => backup.timeMs <= timeMs)
    .sort((a, b) => b.timeMs - a.timeMs || (a.backup < b.backup ? 1 : -1));
  if (found !== undefined) return found;
  const first = backups.reduce((least, backup) => Math.min(least, backup.timeMs), Number.MAX_SAFE_INTEGER);
  throw new CyrvaultError(
    "BACKUP_NOT_FOUND",
    `no backup is as old as ${selector} (${new Date(timeMs).toISOString()})`,
    { hint: `the first one is of ${new Date(first).toISOString()}` },
  );
}

function noneAtAll(backups: readonly KnownBackup[], server: string | undefined): CyrvaultError {
  if (backups.length === 0 || server === undefined)
    return new CyrvaultError("BACKUP_NOT_FOUND", "the repository holds no backup", {
      hint: "`cyrvault backup` makes one, `cyrvault undelete` lists what was forgotten and can be brought back",
    });
  return new CyrvaultError("BACKUP_NOT_FOUND", `the repository holds no backup of the server ${server}`, {
    hint: `it has backups of: ${someOf(serversOf(backups))}`,
  });
}

function serversOf(backups: readonly KnownBackup[]): string[] {
  return [...new Set(backups.map(({ server }) => server))].sort();
}

const SHOWN = 20;

function someOf(names: readonly string[]): string {
  const rest = names.length - SHOWN;
  return names.slice(0, SHOWN).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
