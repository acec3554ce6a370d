/** What a command says beside its result. Where it goes (standard error, JSON lines, nowhere) is the sink's affair. */
import type { ErrorContext } from "./errors.ts";

/** From the one always shown to the one for hunting bugs. */
export const LOG_LEVELS = ["error", "warning", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogRecord {
  readonly level: LogLevel;
  readonly message: string;
  /** Names and numbers, never content of mail. Not escaped: see base/escape.ts. */
  readonly context: ErrorContext;
}

/** Must not throw. */
export type LogSink = (record: LogRecord) => void;

export type Logger = {
  readonly [level in LogLevel]: (message: string, context?: ErrorContext) => void;
};

/** @param least - records below this level never reach the sink. */
export function createLogger(sink: LogSink, least: LogLevel = "info"): Logger {
  const shown = LOG_LEVELS.indexOf(least);
  const at = (level: LogLevel) => {
    if (LOG_LEVELS.indexOf(level) > shown) return () => undefined;
    return (message: string, context: ErrorContext = {}) => sink({ level, message, context });
  };
  return { error: at("error"), warning: at("warning"), info: at("info"), debug: at("debug") };
}

export const silentLogger: Logger = createLogger(() => undefined, "error");
