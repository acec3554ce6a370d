/** Reads cyrus.conf and the crontabs that belong to the server. */
import { type ByteString, fromBytes, fromText, joinPath, toText } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { HostFacts } from "../source/host/host-facts.ts";
import { normalise, parentOf, type SourceView } from "../source/view.ts";
import type { Check } from "./check.ts";
import {
  type CyrusConfEntry,
  parseCyrusConf,
  type ScheduledCommand,
  scheduledByCron,
  scheduledByCyrus,
} from "./schedule.ts";

export interface Schedule {
  readonly cyrusConf: readonly CyrusConfEntry[];
  readonly commands: readonly ScheduledCommand[];
  readonly checks: readonly Check[];
}

const DEFAULT_CYRUS_CONF = fromText("/etc/cyrus.conf");
const CRONTAB = fromText("/etc/crontab");
const CRON_DIRECTORY = fromText("/etc/cron.d");

/** @param cyrusConf - of the running master, where one is known; else beside imapd.conf, else in /etc. */
export function readSchedule(
  view: SourceView,
  configPath: ByteString,
  cyrusConf: ByteString | undefined,
  facts: Pick<HostFacts, "readFile" | "list">,
): Schedule {
  const checks: Check[] = [];
  const unreadable = (path: ByteString, why: string): void => {
    checks.push({
      code: "schedule-unreadable",
      severity: "note",
      path: toText(path),
      message: `what it starts by the clock is not known: ${why}`,
      advice: "name its place with master's -M, or run as root",
    });
  };
  const read = (path: ByteString): ByteString | undefined => {
    try {
      const resolved = view.resolve(normalise(path));
      const bytes = resolved === undefined ? undefined : facts.readFile(resolved.realPath);
      return bytes === undefined ? undefined : fromBytes(bytes);
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      unreadable(path, error.message);
      return undefined;
    }
  };
  const beside = joinPath(parentOf(configPath), fromText("cyrus.conf"));
  const text = cyrusConf === undefined ? (read(beside) ?? read(DEFAULT_CYRUS_CONF)) : read(cyrusConf);
  if (text === undefined && checks.length === 0)
    unreadable(cyrusConf ?? beside, `there is no ${toText(cyrusConf ?? beside)}`);
  const entries = text === undefined ? [] : parseCyrusConf(text);
  const commands = scheduledByCyrus(entries);
  const cronDirectory = view.resolve(CRON_DIRECTORY)?.realPath;
  const names = cronDirectory === undefined ? [] : (facts.list(cronDirectory) ?? []);
  // cron reads no names with a full stop (cron(8)): backups of editors and packages.
  const crontabs = [
    CRONTAB,
    ...names.filter((name) => /^[\w-]+$/.test(name)).map((name) => joinPath(CRON_DIRECTORY, name)),
  ];
  for (const path of crontabs)
    commands.push(...scheduledByCron(toText(path), read(path) ?? ("" as ByteString)));
  return { cyrusConf: entries, commands, checks };
}
