import type {
  BenchResult,
  CaseId,
  CaseResult,
  Sample,
  StepFacts,
  StepName,
  StepResult,
} from "../../../bench/report/result.ts";
import type { ToolName } from "../../../bench/tools/tool.ts";

export function sample(seconds: number, more: Partial<Sample> = {}): Sample {
  return {
    seconds,
    userSeconds: seconds,
    systemSeconds: 0,
    peakPrivateBytes: 100e6,
    peakAnonymousBytes: 80e6,
    peakResidentBytes: 150e6,
    exitCode: 0,
    ...more,
  };
}

/** @param seconds - of each round. */
export function step(
  name: StepName,
  tool: ToolName,
  seconds: readonly number[],
  facts: StepFacts = {},
): StepResult {
  return {
    step: name,
    tool,
    commands: [`${tool} ${name}`],
    samples: seconds.map((each) => sample(each)),
    facts,
  };
}

export function caseResult(
  id: CaseId,
  steps: readonly StepResult[],
  more: Partial<CaseResult> = {},
): CaseResult {
  return {
    id,
    title: `case ${id}`,
    time: "2025-02-03T04:05:06.000Z",
    seconds: 60,
    tree: {
      messages: 1000,
      mailboxes: 10,
      files: 1030,
      bytes: 9e6,
      allocatedBytes: 11e6,
      command: "make tree",
    },
    steps,
    notes: [],
    ...more,
  };
}

export function benchResult(...cases: readonly CaseResult[]): BenchResult {
  return {
    version: 1,
    round: "full",
    time: "2025-02-03T04:05:06.000Z",
    command: "bench",
    machine: {
      cpu: "a processor",
      cores: 2,
      memoryBytes: 8e9,
      kernel: "6.1",
      distribution: "Debian",
      node: "v20.0.0",
      fileSystem: "ext4",
      commit: "abc",
    },
    tools: { cyrvault: "0.1.0", restic: "restic 0.14.0" },
    notes: [],
    cases,
  };
}
