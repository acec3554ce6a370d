/** `--status-file`: how the last run ended, where a monitoring agent finds it without opening the repository. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { CyrvaultError, isCyrvaultError, systemCode } from "../base/errors.ts";
import { EXIT, type ExitCode, exitCodeOf } from "./exit-codes.ts";
import { jsonLine } from "./output.ts";
import type { Session } from "./session.ts";

/** What is known of a run so far. */
export interface RunStatus {
  server?: string;
  backup?: string;
}

/**
 * Written when the work has ended, whichever way. That it cannot be written is a warning: the time in the old one tells.
 * @param file - undefined: none is asked for.
 */
export async function withStatusFile(
  session: Pick<Session, "clock" | "log">,
  file: string | undefined,
  work: (status: RunStatus) => Promise<ExitCode | undefined>,
): Promise<ExitCode | undefined> {
  const status: RunStatus = {};
  if (file === undefined) return await work(status);
  const { clock, log } = session;
  const startedMs = clock.nowMs();
  const write = (exitCode: ExitCode, error: unknown): void => {
    const record = {
      time: new Date(clock.nowMs()).toISOString(),
      started: new Date(startedMs).toISOString(),
      exitCode,
      server: status.server ?? null,
      backup: status.backup ?? null,
      error: error === undefined ? null : isCyrvaultError(error) ? error.code : "BUG",
      message: error === undefined ? null : error instanceof Error ? error.message : String(error),
    };
    try {
      replaceFile(file, `${jsonLine(record)}\n`);
    } catch (cause) {
      if (systemCode(cause) === undefined && !(cause instanceof CyrvaultError)) throw cause;
      log.warning(`the status file ${file} cannot be written`, { reason: (cause as Error).message });
    }
  };
  let code: ExitCode | undefined;
  try {
    code = await work(status);
  } catch (error) {
    write(exitCodeOf(error), error);
    throw error;
  }
  write(code ?? EXIT.done, undefined);
  return code;
}

/** Whoever reads it finds the old one or the new one, whole. */
function replaceFile(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.new`;
  try {
    const fd = openSync(temporary, "wx", 0o644);
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
  } catch (error) {
    if (systemCode(error) !== "EEXIST") rmSync(temporary, { force: true });
    throw error;
  }
}
