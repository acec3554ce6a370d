/** What a server does by the clock: the sections of cyrus.conf (cyrus.conf(5)) and the lines of crontabs (crontab(5)). */
import type { ByteString } from "../base/byte-string.ts";

export interface CyrusConfEntry {
  readonly section: string;
  readonly name: string;
  readonly command: string;
  readonly at: string | undefined;
  /** Minutes. */
  readonly period: string | undefined;
}

/** A command that Cyrus or cron starts, and when, for people. */
export interface ScheduledCommand {
  readonly where: string;
  readonly when: string;
  readonly command: string;
}

/** What is not of the form is passed over: this judges nothing. */
export function parseCyrusConf(text: ByteString): CyrusConfEntry[] {
  const entries: CyrusConfEntry[] = [];
  let section = "";
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const opens = /^([A-Za-z]+)\s*\{/.exec(line);
    if (opens !== null) section = (opens[1] ?? "").toUpperCase();
    else if (line.startsWith("}")) section = "";
    else if (section !== "") {
      const settings = new Map<string, string>();
      for (const [, key = "", quoted, plain] of line.matchAll(/([a-z]+)=(?:"([^"]*)"?|([^\s"]+))/gi))
        settings.set(key.toLowerCase(), quoted ?? plain ?? "");
      entries.push({
        section,
        name: /^\S+/.exec(line)?.[0] ?? "",
        command: settings.get("cmd") ?? "",
        at: settings.get("at"),
        period: settings.get("period"),
      });
    }
  }
  return entries;
}

/** START, EVENTS and DAEMON; services come when they are called. */
export function scheduledByCyrus(entries: readonly CyrusConfEntry[]): ScheduledCommand[] {
  return entries
    .filter(({ section, command }) => section !== "SERVICES" && command !== "")
    .map(({ section, name, command, at, period }) => ({
      where: `cyrus.conf ${section} ${name}`,
      when: at !== undefined ? `at ${clockTime(at)}` : everyMinutes(section, period),
      command,
    }));
}

const CYRUS_COMMAND = /(^|[/\s'"])(cyr_expire|ipurge|squatter|ctl_cyrusdb|ctl_deliver|cyrus)\s/;

/** Those lines of a crontab with a user's column (`/etc/crontab`, `/etc/cron.d/*`) that start a tool of Cyrus. */
export function scheduledByCron(file: string, text: ByteString): ScheduledCommand[] {
  const found: ScheduledCommand[] = [];
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    const match = /^(@[a-z]+|(?:[\d*][\d*,/a-z-]*\s+){4}[\d*][\d*,/a-z-]*)\s+\S+\s+(\S.*)$/i.exec(line);
    if (match === null) continue;
    const [, when = "", command = ""] = match;
    if (CYRUS_COMMAND.test(`${command} `)) found.push({ where: file, when: `at ${when}`, command });
  }
  return found;
}

function clockTime(at: string): string {
  return /^\d{4}$/.test(at) ? `${at.slice(0, 2)}:${at.slice(2)}` : at;
}

function everyMinutes(section: string, period: string | undefined): string {
  if (section !== "EVENTS" || period === undefined || period === "0") return "when Cyrus starts";
  return `every ${period} minutes`;
}
