/**
 * Makes a sample server, or adds days to one: `npx tsx bench/generate.ts DIR --users 1000 --messages 100000`.
 * One JSON line when it is made, one for each day. `--help` lists the options.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { advanceServer } from "../src/sample/advance.ts";
import {
  ATTACHMENT_SHARE,
  COPY_SHARE,
  LINKED_SHARE,
  REPETITION,
  WHOLE_FILE_SHARE,
} from "../src/sample/calibration.ts";
import { generateServer } from "../src/sample/generate.ts";
import { type SampleParameters, SampleServer } from "../src/sample/sample-server.ts";

const HELP = `usage: npx tsx bench/generate.ts DIR [options]
  --users N              default 100
  --folders N            a user's mailboxes, the INBOX among them; default 10
  --messages N           on the whole server; default 10000
  --days N               over how many days they came in; default 90
  --layout uuid|legacy   default uuid
  --attachment-share X   of all bytes, 0 to below 1; default ${ATTACHMENT_SHARE} (a corporate mail store)
  --document-scale X     attachments so many times as large as in that store; default 1
  --text-scale X         the same for texts; default 1
  --repetition X         of the decoded bytes of all parts, those in parts that occurred before, 0 to below 1;
                         files with several names count once; default ${REPETITION}
  --whole-file-share X   of that, in files that equal another one; default ${WHOLE_FILE_SHARE}
  --copy-share X         of that, in copies of a letter with other headers; default ${COPY_SHARE}; the rest in other letters
  --linked-share X       of all further copies of letters, those that are only names of a file; default ${LINKED_SHARE}
  --seed N               default 1
  --header-form dlist|lines   as 3.6 or as 3.4 writes cyrus.header; default dlist
  --advance N            days to add, to a server that is in DIR already or to the new one; default 0
  --share X              of the mailboxes that change on such a day; default 0.05

The trees of the benchmark:
  A  --users 200 --folders 12 --messages 55000
  B  --users 20 --folders 10 --messages 40000 --attachment-share 0 --repetition 0
  C  --users 1000 --folders 10 --messages 1000000 --attachment-share 0.2 --document-scale 0.05 --text-scale 0.5
  D  --users 10000 --folders 25 --messages 250000 --attachment-share 0 --text-scale 0.2
`;

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      users: { type: "string", default: "100" },
      folders: { type: "string", default: "10" },
      messages: { type: "string", default: "10000" },
      days: { type: "string", default: "90" },
      layout: { type: "string", default: "uuid" },
      "attachment-share": { type: "string", default: String(ATTACHMENT_SHARE) },
      "document-scale": { type: "string", default: "1" },
      "text-scale": { type: "string", default: "1" },
      repetition: { type: "string", default: String(REPETITION) },
      "whole-file-share": { type: "string", default: String(WHOLE_FILE_SHARE) },
      "copy-share": { type: "string", default: String(COPY_SHARE) },
      "linked-share": { type: "string", default: String(LINKED_SHARE) },
      seed: { type: "string", default: "1" },
      "header-form": { type: "string", default: "dlist" },
      advance: { type: "string", default: "0" },
      share: { type: "string", default: "0.05" },
      help: { type: "boolean", default: false },
    },
  });
  const [directory] = positionals;
  if (values.help || directory === undefined || positionals.length > 1) {
    process.stdout.write(HELP);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const parameters: Partial<SampleParameters> = {
    users: number(values.users),
    foldersPerUser: number(values.folders),
    messages: number(values.messages),
    days: number(values.days),
    layout: oneOf(values.layout, ["uuid", "legacy"]),
    attachmentShare: number(values["attachment-share"]),
    documentScale: number(values["document-scale"]),
    textScale: number(values["text-scale"]),
    repetition: number(values.repetition),
    wholeFileShare: number(values["whole-file-share"]),
    copyShare: number(values["copy-share"]),
    linkedShare: number(values["linked-share"]),
    seed: number(values.seed),
    headerForm: oneOf(values["header-form"], ["dlist", "lines"]),
  };
  const server = openOrMake(resolve(directory), parameters);
  for (let left = number(values.advance); left > 0; left--) {
    const started = performance.now();
    const day = server.state.day + 1;
    const counts = advanceServer(server, { day, share: number(values.share) });
    report({ day, ...counts, seconds: secondsSince(started) });
  }
}

function openOrMake(directory: string, parameters: Partial<SampleParameters>): SampleServer {
  if (existsSync(`${directory}/sample-state.json`)) return SampleServer.open(directory);
  const started = performance.now();
  const server = generateServer(directory, parameters, ({ mailboxesDone, mailboxes }) => {
    if (process.stderr.isTTY) process.stderr.write(`\r${mailboxesDone} of ${mailboxes} mailboxes `);
  });
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  const seconds = secondsSince(started);
  const { messages } = server.counts;
  report({
    config: server.configPath,
    ...server.counts,
    repeated: repeatedShares(server),
    seconds,
    messagesPerSecond: Math.round(messages / seconds),
    residentMiB: Math.round(process.resourceUsage().maxRSS / 1024),
  });
  return server;
}

/** What came of `--repetition`, to a thousandth. */
function repeatedShares({ state }: SampleServer): Record<string, number> {
  const { total, ...parts } = state.repeated;
  return Object.fromEntries(
    Object.entries(parts).map(([name, bytes]) => [
      name,
      Math.round((bytes / Math.max(1, total)) * 1000) / 1000,
    ]),
  );
}

function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000;
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw new RangeError(`not a number: ${text}`);
  return value;
}

function oneOf<T extends string>(text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found === undefined) throw new RangeError(`${text} is none of ${allowed.join(", ")}`);
  return found;
}

main();
