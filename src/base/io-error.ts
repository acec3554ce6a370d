/** How a failure of the operating system becomes a CyrvaultError: in one place, so that codes mean one thing. */
import { constants } from "node:os";
import { CyrvaultError, type ErrorContext, systemCode } from "./errors.ts";

const NO_SPACE = new Set(["ENOSPC", "EDQUOT"]);

/**
 * `NO_SPACE` for a full disk or an exhausted quota, otherwise `IO`. A CyrvaultError is handed back as it is.
 *
 * @param what - what could not be done: `cannot write /backup/x`.
 */
export function ioError(what: string, cause: unknown, context: ErrorContext = {}): CyrvaultError {
  if (cause instanceof CyrvaultError) return cause;
  const code = systemCode(cause);
  const why = reason(cause);
  const isFull = code !== undefined && NO_SPACE.has(code);
  return new CyrvaultError(isFull ? "NO_SPACE" : "IO", `${what}: ${why}`, {
    context: { ...context, ...(code === undefined ? {} : { system: code }) },
    cause,
    ...(isFull ? { hint: "make room on that disk, and run the same again" } : {}),
  });
}

/** The system's code behind an `IO` or `NO_SPACE` error, or that of a bare system error: `EIO`, `EROFS`, …. */
export function causeCode(error: unknown): string | undefined {
  return systemCode(error instanceof CyrvaultError ? error.cause : error);
}

/** An error like those of node:fs, from an errno that a C function left. */
export function errnoError(errno: number, call: string): NodeJS.ErrnoException {
  const code = codeOf(errno);
  return Object.assign(new Error(`${code}: errno ${errno}, ${call}`), { code, errno: -errno, syscall: call });
}

function codeOf(errno: number): string {
  for (const [name, number] of Object.entries(constants.errno)) if (number === errno) return name;
  return `E${errno}`;
}

/** `ENOSPC: no space left on device`, without the path that node:fs appends: `what` names it. */
function reason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const comma = systemCode(cause) === undefined ? -1 : cause.message.indexOf(", ");
  return comma < 0 ? cause.message : cause.message.slice(0, comma);
}
