import { resolve } from "node:path";
import { fromText } from "../../base/byte-string.ts";
import { CyrvaultError } from "../../base/errors.ts";
import { parseDuration } from "../../cyrus/imapd-conf.ts";
import type { Check } from "../../doctor/check.ts";
import type { Estimate } from "../../doctor/estimate.ts";
import { STOP_COMMANDS } from "../../doctor/recommend.ts";
import { type DoctorReport, runDoctor } from "../../doctor/run.ts";
import { liveHost } from "../../source/host/live-host.ts";
import { parseMapping } from "../../source/view.ts";
import { collect, example, type Register } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, humanBytes, humanDuration } from "../humanise.ts";
import type { Output } from "../output.ts";
import type { Session } from "../session.ts";

interface Options {
  readonly config?: string;
  readonly root: string;
  readonly map?: readonly string[];
  readonly interval: string;
}

export const registerDoctor: Register = (program, act) => {
  const command = program
    .command("doctor")
    .description("what a backup of this server covers and what not, and how to take it; changes nothing")
    .option(
      "--config <imapd.conf>",
      "the server's configuration (default: that of the running Cyrus, else /etc/imapd.conf)",
    )
    .option("--root <dir>", "where the frozen snapshot is mounted: every path is looked up below it", "/")
    .option("--map <from=to>", "one path prefix lies elsewhere; may be given several times", collect)
    .option("--interval <time>", "between two backups, as 24h or 7d", "24h")
    .addHelpText(
      "after",
      example("cyrvault doctor", "cyrvault doctor --repo /backup/cyrus --interval 6h --json"),
    );
  act<Options>(command, async (session, _args, given) => {
    const report = diagnose(session, given);
    if (session.json) await session.output.object(report);
    else await print(session.output, report);
    const isWell = report.checks.every(({ severity }) => severity === "ok" || severity === "note");
    return isWell ? EXIT.done : EXIT.incomplete;
  });
};

function diagnose(session: Session, given: Options): DoctorReport {
  const repository = session.namedLocation;
  const { passwordFile, keyFile } = session.secretSource;
  const { env } = session.terminal;
  return runDoctor(
    {
      config: given.config === undefined ? undefined : fromText(resolve(given.config)),
      root: fromText(resolve(given.root)),
      mappings: (given.map ?? []).map(parseMapping),
      intervalSeconds: parseInterval(given.interval),
      repository,
      repositoryDirectory: localDirectory(repository),
      secretFile: passwordFile ?? keyFile ?? env["CYRVAULT_PASSWORD_FILE"] ?? env["CYRVAULT_KEY_FILE"],
    },
    liveHost(),
  );
}

function parseInterval(text: string): number {
  const seconds = parseDuration(text, "h");
  if (seconds !== undefined && seconds > 0) return seconds;
  throw new CyrvaultError("USAGE", `--interval ${text}: not a time between backups`, {
    hint: "for example 24h or 7d",
  });
}

/** Elsewhere than on this machine nothing can be said about its disk. */
function localDirectory(location: string | undefined) {
  if (location === undefined) return undefined;
  const path = location.replace(/^file:\/\//i, "");
  return /^[a-z][a-z0-9+.-]+:/i.test(path) ? undefined : fromText(resolve(path));
}

const MARKS: Readonly<Record<Check["severity"], string>> = {
  ok: "ok      ",
  note: "note    ",
  warning: "WARNING ",
  error: "ERROR   ",
};
const ORDER: readonly Check["severity"][] = ["error", "warning", "note", "ok"];

async function print(output: Output, report: DoctorReport): Promise<void> {
  const lines = [`configuration: ${report.config ?? "?"}`, ""];
  if (report.covered.length > 0) lines.push("A backup covers");
  for (const { kind, name, path } of report.covered) {
    if (kind !== "file") lines.push(`  ${path}  (${name === "" ? kind : `${kind} ${name}`})`);
  }
  const files = report.covered.filter(({ kind }) => kind === "file").length;
  if (files > 0) lines.push(`  and ${counted(files, "single file")}`);
  lines.push("");
  for (const severity of ORDER) {
    for (const check of report.checks.filter((one) => one.severity === severity)) {
      lines.push(`${MARKS[severity]}${check.code}: ${check.message}`);
      if (check.advice !== undefined) lines.push(`        → ${check.advice}`);
    }
  }
  if (report.estimate !== null) lines.push("", ...estimateLines(report.estimate));
  if (report.command !== null)
    lines.push(
      "",
      "To back it up:",
      `  ${report.command}`,
      ...(report.command.endsWith(STOP_COMMANDS)
        ? [
            "  (no service of systemd runs this Cyrus: put the commands that stop and start it for STOP and START)",
          ]
        : []),
    );
  await output.text(lines.join("\n"));
}

function estimateLines(estimate: Estimate): string[] {
  const { mailboxes, messages, bytes, storedBytes, firstBackupSeconds, restoreSeconds, assumptions } =
    estimate;
  return [
    `About ${counted(mailboxes, "mailbox", "mailboxes")}, ${counted(messages, "message")}, ${humanBytes(bytes)}`,
    `  first backup: ${humanDuration(firstBackupSeconds.low * 1000)} to ${humanDuration(firstBackupSeconds.high * 1000)}, stored ${humanBytes(storedBytes.low)} to ${humanBytes(storedBytes.high)}`,
    `  restore of everything: ${humanDuration(restoreSeconds.low * 1000)} to ${humanDuration(restoreSeconds.high * 1000)}`,
    ...assumptions.map((text) => `  assumed: ${text}`),
  ];
}
