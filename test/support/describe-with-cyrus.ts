import { describe, test } from "vitest";
import { cyrusMissing } from "./cyrus-server.ts";

/**
 * A suite that needs a real Cyrus. Where there is none: with `CI=true` one failing test, otherwise a skipped suite
 * and its reason on standard error, so that nobody takes "passed" for "proven".
 */
export function describeWithCyrus(name: string, suite: () => void): void {
  const missing = cyrusMissing();
  if (missing === undefined) {
    describe(name, suite);
  } else if (process.env["CI"] === "true") {
    describe(name, () => {
      test("a Cyrus server can be started", () => {
        throw new Error(missing);
      });
    });
  } else {
    process.stderr.write(`\n*** NOT PROVEN: "${name}" was left out: ${missing}\n\n`);
    describe.runIf(false)(name, suite);
  }
}
