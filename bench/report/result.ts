/** What a benchmark leaves behind: bench/results/*.json. */
import type { ToolName } from "../tools/tool.ts";

export const RESULT_VERSION = 1;

export interface BenchResult {
  readonly version: typeof RESULT_VERSION;
  readonly round: Round;
  /** ISO 8601. */
  readonly time: string;
  /** How it was started. */
  readonly command: string;
  readonly machine: MachineFacts;
  readonly tools: Readonly<Partial<Record<ToolName | "zstd", string>>>;
  /** What is missing here and why. */
  readonly notes: readonly string[];
  readonly cases: readonly CaseResult[];
}

/** `spool`: a real one was given. */
export type Round = "quick" | "full" | "spool";

export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly distribution: string;
  readonly node: string;
  readonly fileSystem: string;
  /** Of cyrvault's sources; ends in `+` where they had changed since. */
  readonly commit: string;
}

export type CaseId = "A" | "B" | "C" | "D" | "S";

export interface CaseResult {
  readonly id: CaseId;
  readonly title: string;
  readonly time: string;
  /** The whole case, trees and all. */
  readonly seconds: number;
  readonly tree: TreeFacts;
  /** The tree with fewer messages in as many mailboxes. */
  readonly smallTree?: TreeFacts;
  readonly floor?: FloorFacts;
  readonly steps: readonly StepResult[];
  readonly limited?: LimitedResult;
  readonly notes: readonly string[];
}

export interface TreeFacts {
  readonly messages: number;
  readonly mailboxes: number;
  readonly files: number;
  readonly bytes: number;
  readonly allocatedBytes: number;
  readonly command: string;
}

export interface FloorFacts {
  readonly mailBytes: number;
  readonly otherBytes: number;
  readonly mailCompressed: number;
  readonly otherCompressed: number;
  readonly commands: readonly string[];
}

/**
 * `small tree`: nothing changed, in the tree with fewer messages. `start`: a program that opens an empty repository and
 * lists it, for its start and key derivation. `day`: its samples are those of day 2, 3 …; the first backup is day 1.
 */
export type StepName =
  | "first backup"
  | "nothing changed"
  | "nothing changed, cold"
  | "small tree"
  | "restore"
  | "start"
  | "one message"
  | "check"
  | "rebuild-index"
  | "day"
  | "restore after the days";

export interface StepResult {
  readonly step: StepName;
  readonly tool: ToolName;
  /** Of the last round: the others differ in names only. */
  readonly commands: readonly string[];
  /** One a round. */
  readonly samples: readonly Sample[];
  readonly facts: StepFacts;
}

export interface StepFacts {
  /** Of the repository's files, after the step, in the first round. */
  readonly repositoryBytes?: number;
  readonly repositoryAllocatedBytes?: number;
  readonly objects?: number;
  /** Restored files that differ from the source, in the first round. */
  readonly differences?: number;
  /** Before compression, in the first round. */
  readonly blockBytesOpened?: number;
  /** Of them, what the restore wanted, each object once. */
  readonly blockBytesNeeded?: number;
}

export interface Sample {
  readonly seconds: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly peakPrivateBytes: number;
  readonly peakAnonymousBytes: number;
  readonly peakResidentBytes: number;
  readonly exitCode: number;
  /** Set where the command failed: then the rest does not count. */
  readonly failure?: string;
}

export type LimitedResult =
  | { readonly unavailable: string }
  | { readonly limitBytes: number; readonly runs: readonly LimitedRun[] };

export interface LimitedRun {
  readonly step: StepName;
  readonly command: string;
  readonly seconds: number;
  readonly exitCode: number;
  readonly oomKills: number;
  readonly peakBytes: number | undefined;
}

/** Of one step of one tool, those that did not fail. */
export function goodSamples(result: CaseResult, step: StepName, tool: ToolName): readonly Sample[] {
  return (findStep(result, step, tool)?.samples ?? []).filter(({ failure }) => failure === undefined);
}

export function findStep(result: CaseResult, step: StepName, tool: ToolName): StepResult | undefined {
  return result.steps.find((candidate) => candidate.step === step && candidate.tool === tool);
}
