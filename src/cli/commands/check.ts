import { CyrvaultError } from "../../base/errors.ts";
import { keepMemorySmall } from "../../base/posix-memory.ts";
import type { Affects } from "../../check/affects.ts";
import { type CheckOptions, type CheckResult, runCheck } from "../../check/run.ts";
import { assembleMessage } from "../../chunker/assemble.ts";
import { compareReader } from "../../recovery/refresh.ts";
import { example, type Register } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, humanBytes, humanCount, humanDuration } from "../humanise.ts";
import type { Output } from "../output.ts";

interface Options {
  readonly readData?: string | true;
  readonly olderThan?: string;
  readonly maxDuration?: string;
}

const ERRORS_SHOWN = 50;
const SHOWN = 20;
const READER_DIFFERS =
  "recovery/reader.py is not the one of this version: another version wrote it, or somebody changed it. The next backup replaces it.";

export const registerCheck: Register = (program, act) => {
  const command = program
    .command("check")
    .description(
      "whether the repository is consistent: everything that a backup needs is there and can be read",
    )
    .option(
      "--read-data [share]",
      "read the data itself again: all, or a share: 10% (what was not verified for the longest time), or one part of several: 2/7",
    )
    .option("--older-than <time>", "read only data that has not been verified for so long: 30d")
    .option("--max-duration <time>", "begin no further pack after so long: 90m, 2h")
    .addHelpText(
      "after",
      `
When data was verified is remembered in the repository, if it can be written to. --older-than and --max-duration read data
without --read-data, too.
${example(
  "cyrvault check --repo /backup/cyrus",
  "cyrvault check --repo /backup/cyrus --read-data=2/7",
  "cyrvault check --repo /backup/cyrus --older-than 30d --max-duration 2h",
)}`,
    );
  act<Options>(command, async (session, _args, given) => {
    keepMemorySmall();
    const options = checkOptions(given);
    const { clock, progress, signal, output, log } = session;
    const readsData = options.readDataPercent > 0 || options.readDataPart !== undefined;
    // Writes nothing but when data was verified.
    return await session.withRepository(
      readsData ? "write" : "read",
      async (repository) => {
        const result = await session.withProgress(() =>
          runCheck(options, { repository, assemble: assembleMessage, clock, progress, log, signal }),
        );
        const recoveryReader = await compareReader(repository.backend);
        if (session.json) await output.object({ ...result, recoveryReader });
        else {
          await printResult(output, result);
          if (recoveryReader === "differs") output.note(READER_DIFFERS);
        }
        return result.errorsTotal > 0 ? EXIT.failed : undefined;
      },
      { whateverAge: true },
    );
  });
};

async function printResult(output: Output, result: CheckResult): Promise<void> {
  const { missingPacks } = result;
  const { errors, errorsTotal, affects, packs, objects, backups, bytesRead, remnants, notReached, seconds } =
    result;
  for (const { code, path, message } of errors.slice(0, ERRORS_SHOWN))
    output.note(`${code} ${errorText(path, message)}`);
  if (errorsTotal > ERRORS_SHOWN)
    output.note(`and ${humanCount(errorsTotal - ERRORS_SHOWN)} more (--json shows 1000)`);
  for (const name of missingPacks.slice(0, SHOWN))
    output.note(`${name} is not there. If the file is anywhere else (lost+found, a copy), put it back.`);
  if (missingPacks.length > SHOWN)
    output.note(`and ${humanCount(missingPacks.length - SHOWN)} more packs are not there`);
  if (affects !== undefined) for (const line of affectsText(affects)) output.note(line);
  else if (errorsTotal > 0) output.note("No message and no file of any backup suffers from it.");
  const read = bytesRead === 0 ? "" : `, ${humanBytes(bytesRead)} read again`;
  await output.text(
    `${counted(backups, "backup")}, ${counted(packs, "pack")}, ${counted(objects, "object")}${read} in ${humanDuration(seconds * 1000)}: ${errorsTotal === 0 ? "no errors" : counted(errorsTotal, "error")}.`,
  );
  if (remnants > 0)
    await output.text(
      `${counted(remnants, "message")} that no backup needs ${remnants === 1 ? "lacks" : "lack"} a part: left over from what a repair has cut out.`,
    );
  if (notReached !== undefined && notReached.packs > 0)
    await output.text(
      `Not reached in that time: ${counted(notReached.packs, "pack")}, ${humanBytes(notReached.bytes)}. The next check begins with them.`,
    );
}

/** Many a message begins with the file itself, or with another one that something in it needs. */
function errorText(path: string | undefined, message: string): string {
  if (path === undefined || message.startsWith(`${path}: `)) return message;
  return `${path}${message.startsWith("packs/") ? " needs " : ": "}${message}`;
}

function affectsText(affects: Affects): string[] {
  const { backups, backupsTotal, mailboxes, mailboxesTotal, files, filesTotal, unnamed, total } = affects;
  const lines = [`Who suffers from it, in ${listed(backups, backupsTotal)}:`];
  if (total > 0)
    lines.push(`  ${counted(total, "message")} in ${counted(mailboxesTotal, "mailbox", "mailboxes")}`);
  for (const { mailbox, uids } of mailboxes.slice(0, SHOWN)) lines.push(`    ${mailbox}: UIDs ${uids}`);
  if (mailboxesTotal > SHOWN) lines.push(`    and ${humanCount(mailboxesTotal - SHOWN)} mailboxes more`);
  if (filesTotal > 0) lines.push(`  ${counted(filesTotal, "other file")}`);
  for (const file of files.slice(0, SHOWN)) lines.push(`    ${file}`);
  if (filesTotal > SHOWN) lines.push(`    and ${humanCount(filesTotal - SHOWN)} more`);
  if (total + filesTotal + unnamed.length === 0) lines.push("  all of it: a backup without its root");
  for (const what of unnamed) lines.push(`  ${what}: which ones is lost, too`);
  lines.push("`cyrvault repair --dry-run` says what can be done about it.");
  return lines;
}

function listed(names: readonly string[], total: number): string {
  const rest = total - SHOWN;
  return names.slice(0, SHOWN).join(", ") + (rest > 0 ? ` and ${humanCount(rest)} more` : "");
}

/** @throws {CyrvaultError} `USAGE`. */
export function checkOptions({ readData, olderThan, maxDuration }: Options): CheckOptions {
  const olderThanMs = parseTime("--older-than", olderThan);
  const maxDurationMs = parseTime("--max-duration", maxDuration);
  const implied = readData === undefined && (olderThanMs !== undefined || maxDurationMs !== undefined);
  const part = typeof readData === "string" ? parsePart(readData) : undefined;
  return {
    readDataPercent: implied ? 100 : part === undefined ? parsePercent(readData) : 0,
    readDataPart: part,
    olderThanMs,
    maxDurationMs,
  };
}

/** `2/7`; undefined for what is of another form. @throws {CyrvaultError} `USAGE`. */
function parsePart(text: string): { readonly part: number; readonly of: number } | undefined {
  const match = /^(\d{1,6})\/(\d{1,6})$/.exec(text);
  if (match === null) return undefined;
  const part = Number(match[1]);
  const of = Number(match[2]);
  if (part >= 1 && part <= of) return { part, of };
  throw new CyrvaultError("USAGE", `--read-data=${text}: there is no such part`, {
    hint: "parts count from 1: of seven, 1/7 to 7/7",
  });
}

/** `--read-data`, `--read-data=10`, `--read-data=2.5%`. @throws {CyrvaultError} `USAGE`. */
export function parsePercent(text: string | true | undefined): number {
  if (text === undefined) return 0;
  if (text === true || text === "all") return 100;
  const percent = /^\d{1,3}(?:\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (percent > 0 && percent <= 100) return percent;
  throw new CyrvaultError("USAGE", `--read-data=${text}: not a share`, {
    hint: "write --read-data=10% or --read-data=2/7",
  });
}

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `90s`, `30m`, `2h`, `30d`, `4w`; in ms. @throws {CyrvaultError} `USAGE`. */
function parseTime(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, number, unit = ""] = /^(\d{1,6}(?:\.\d{1,3})?)([smhdw])$/.exec(text) ?? [];
  const ms = Number(number) * (UNIT_MS[unit] ?? Number.NaN);
  if (ms >= 0) return ms;
  throw new CyrvaultError("USAGE", `${option} ${text}: not a length of time`, {
    hint: `write ${option} 90m, 2h or 30d`,
  });
}
