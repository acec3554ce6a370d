import { readBackups } from "../../inspect/backups.ts";
import { type ServerStatus, statusOf } from "../../inspect/status.ts";
import { parseSpan } from "../../retention/parse-rules.ts";
import { example, type Register } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, humanDuration, humanTime } from "../humanise.ts";

interface Options {
  readonly maxAge?: string;
  readonly server?: string;
  readonly goodOnly?: boolean;
}

export const registerStatus: Register = (program, act) => {
  const command = program
    .command("status")
    .description("how old the newest backup of each server is; exit code 1 where it is too old")
    .option("--max-age <time>", "what is too old: 26h, 90m, 3d")
    .option("--server <name>", "only this server; without a backup it is not well either")
    .option("--good-only", "backups with errors that nobody has accepted do not count")
    .addHelpText("after", example("cyrvault status --repo /backup/cyrus --max-age 26h"));
  act<Options>(command, async (session, _args, { maxAge, server, goodOnly = false }) => {
    const maxAgeMs = maxAge === undefined ? undefined : parseSpan("--max-age", maxAge);
    return await session.withRepository("read", async (repository) => {
      const { output, json, clock } = session;
      const options = { server, maxAgeMs, goodOnly, nowMs: clock.nowMs() };
      const servers = await statusOf(readBackups(repository, session.onUnreadable), options);
      const ok = servers.length > 0 && servers.every(({ problem }) => problem === undefined);
      if (json) {
        const maxAgeSeconds = maxAgeMs === undefined ? null : maxAgeMs / 1000;
        await output.object({ ok, maxAgeSeconds, servers: servers.map(statusObject) });
      } else {
        if (servers.length === 0) await output.text("There is no backup in this repository.");
        for (const status of servers) await output.text(statusText(status, maxAgeMs));
      }
      return ok ? undefined : EXIT.failed;
    });
  });
};

function statusObject({ server, newest, ageMs, problem, inFuture, mailboxList }: ServerStatus): object {
  return {
    server,
    ok: problem === undefined,
    problem: problem ?? null,
    backup: newest?.backup ?? null,
    time: newest === undefined ? null : new Date(newest.timeMs).toISOString(),
    ageSeconds: ageMs === undefined ? null : Math.round(ageMs / 1000),
    errors: newest?.errors ?? null,
    inFuture,
    mailboxList:
      mailboxList === undefined
        ? null
        : { backup: mailboxList.backup, time: new Date(mailboxList.timeMs).toISOString() },
  };
}

function statusText(status: ServerStatus, maxAgeMs = 0): string {
  const { server, newest, ageMs = 0, problem, inFuture, mailboxList } = status;
  const about =
    newest === undefined
      ? problem === "no-backup"
        ? "there is no backup"
        : "there is no backup without errors"
      : `${newest.backup} of ${humanTime(newest.timeMs)}, ${humanDuration(ageMs)} old, ${newest.errors === 0 ? "no errors" : counted(newest.errors, "error")}`;
  const older = problem === "too-old" ? `: older than ${humanDuration(maxAgeMs)}` : "";
  const future =
    inFuture === 0 ? "" : ` (not counted: ${counted(inFuture, "backup")} with a time that is yet to come)`;
  const list =
    mailboxList === undefined ? "" : `; its mailbox list alone of ${humanTime(mailboxList.timeMs)}`;
  return `${problem === undefined ? "ok" : "NOT OK"}  ${server}: ${about}${older}${future}${list}`;
}
