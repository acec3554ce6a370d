import { describe, test } from "vitest";

/**
 * A suite that needs something of this machine. Where that is missing: with `CI=true` one failing test, otherwise a
 * skipped suite and its reason on standard error, so that nobody takes "passed" for "proven".
 *
 * @param missing - what is not there; undefined: nothing.
 * @param needed - the name of the test that fails then.
 */
export function describeWith(
  missing: string | undefined,
  needed: string,
  name: string,
  suite: () => void,
): void {
  if (missing === undefined) {
    describe(name, suite);
  } else if (process.env["CI"] === "true") {
    describe(name, () => {
      test(needed, () => {
        throw new Error(missing);
      });
    });
  } else {
    process.stderr.write(`\n*** NOT PROVEN: "${name}" was left out: ${missing}\n\n`);
    describe.runIf(false)(name, suite);
  }
}
