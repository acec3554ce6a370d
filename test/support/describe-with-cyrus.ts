import { cyrusMissing } from "./cyrus-server.ts";
import { describeWith } from "./describe-with.ts";

/** A suite that needs a real Cyrus. */
export function describeWithCyrus(name: string, suite: () => void): void {
  describeWith(cyrusMissing(), "a Cyrus server can be started", name, suite);
}
