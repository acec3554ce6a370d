/** What the command line answers with: the one place where errors become numbers. */
import { type ErrorCode, isCyrvaultError } from "../base/errors.ts";

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  /** Finished, but something of the source could not be read, and nobody has accepted that. */
  incomplete: 3,
  noRepository: 10,
  locked: 11,
  wrongPassword: 12,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const BY_CODE: { readonly [code in ErrorCode]?: ExitCode } = {
  USAGE: EXIT.usage,
  PASSWORD_NEEDED: EXIT.usage,
  PASSWORD_UNUSED: EXIT.usage,
  KEY_AMBIGUOUS: EXIT.usage,
  REPOSITORY_NOT_FOUND: EXIT.noRepository,
  LOCKED: EXIT.locked,
  PASSWORD_WRONG: EXIT.wrongPassword,
  INTERRUPTED: EXIT.interrupted,
};

export function exitCodeOf(error: unknown): ExitCode {
  return (isCyrvaultError(error) ? BY_CODE[error.code] : undefined) ?? EXIT.failed;
}
