/** What a run knows of the view that it reads, and what it asks of whoever has taken it. */
import type { Finding } from "../manifest/finding.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { ServerRoot } from "../source/roots.ts";

export interface CutOutcome {
  readonly view: ManifestRoot["view"];
  readonly findings: readonly Pick<Finding, "code" | "severity" | "path" | "message">[];
}

export interface SourceCut {
  /** Of the view, or of the first one of several; undefined: the start of the run is as good. */
  readonly cutMs: number | undefined;
  /** Aborted when the server goes on although not everything has been read. */
  readonly letGo: AbortSignal | undefined;
  /** Called once, when all has been read. @throws {CyrvaultError} when it must not become a backup. */
  finish(roots: readonly ServerRoot[]): Promise<CutOutcome>;
}

/** Of a tree that was frozen before we came. */
export const GIVEN_VIEW: ManifestRoot["view"] = {
  kind: "none",
  consistency: "as the administrator froze it",
};
