/** What a view is worth, in words: for the manifest, for `--json`, and as findings where it is worth less than one hopes. */
import { type ByteString, fromText, toText } from "../base/byte-string.ts";
import type { Finding } from "../manifest/finding.ts";
import type { Provider, Quiesce, TakenView } from "./method.ts";

export type ViewFinding = Pick<Finding, "code" | "severity" | "path" | "message">;

export interface Cut {
  readonly provider: Provider["name"];
  readonly isFrozen: boolean;
  readonly quiesce: Quiesce["name"];
  readonly view: Pick<TakenView, "isAtomic" | "torn" | "mappings">;
  /** Why Cyrus was not held to the end. */
  readonly broken: string | undefined;
  /** Who worked through the mailboxes meanwhile. */
  readonly busy?: string | undefined;
  /** What was read from the live server. */
  readonly uncovered: readonly ByteString[];
}

/** The first word is stable, for scripts: clean, crash, crash-several, torn; `as the administrator froze it`: nobody has told us. */
export function consistencyOf({ provider, isFrozen, quiesce, view, broken }: Cut): string {
  if (view.torn !== undefined) return `torn: ${view.torn}`;
  if (broken !== undefined && !isFrozen) return `torn: ${broken}`;
  if (broken === undefined) {
    if (quiesce === "stop") return "clean: Cyrus was stopped";
    if (quiesce === "withlock") return "clean: Cyrus held still by its own lock";
    if (quiesce === "freeze") return "crash: one moment, with the filesystems frozen";
  }
  if (provider === "none") return "as the administrator froze it";
  if (provider === "command") return "crash: as a command of the administrator's took it, while Cyrus ran";
  if (view.isAtomic) return "crash: one moment, while Cyrus ran";
  return "crash-several: snapshots one after the other, while Cyrus ran";
}

export function viewFindings({ isFrozen, quiesce, view, broken, busy, uncovered }: Cut): ViewFinding[] {
  const path = fromText("/");
  const findings: ViewFinding[] = [];
  if (view.torn !== undefined)
    findings.push({
      code: "cut-torn",
      severity: "warning",
      path,
      message: `${view.torn}: allowed by --allow-torn`,
    });
  if (broken !== undefined) {
    findings.push({
      code: "cut-torn",
      severity: "error",
      path,
      message: `${broken}, ${isFrozen ? "before the view was complete" : "while the backup was reading"}`,
    });
  }
  if (!view.isAtomic && (quiesce === "none" || broken !== undefined)) {
    const places = view.mappings.map(({ from }) => toText(from)).join(", ");
    findings.push({
      code: "cut-several-moments",
      severity: "warning",
      path,
      message: `snapshots of several filesystems were taken one after the other while Cyrus ran: ${places}${busy === undefined ? "" : `; ${busy} worked on the mailboxes meanwhile, and what it removed may be named in one and missing in another`}`,
    });
  }
  for (const place of uncovered) {
    findings.push({
      code: "cut-uncovered",
      severity: "warning",
      path: place,
      message: `${toText(place)} lies in no snapshot, and was read from the live server`,
    });
  }
  return findings;
}
