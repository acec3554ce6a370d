/** The first SIGINT or SIGTERM asks the command to stop at a good place, the second one ends the process. */
import { CyrvaultError } from "../base/errors.ts";

export interface Interruption {
  readonly signal: AbortSignal;
  /** Gives the signals back. */
  end(): void;
}

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];

export function listenForInterruption(onFirst: (signal: NodeJS.Signals) => void): Interruption {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    for (const name of SIGNALS) process.off(name, onSignal);
    onFirst(signal);
    controller.abort(
      new CyrvaultError("INTERRUPTED", "interrupted", {
        hint: "run it again: what a backup had stored by then is not read once more",
      }),
    );
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    signal: controller.signal,
    end: () => {
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}
