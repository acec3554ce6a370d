/** Runs operations of tools and keeps what they took. */
import { type Command, commandText } from "../measure/command.ts";
import { type Ran, run } from "../measure/run.ts";
import type { Sample, StepFacts, StepName, StepResult } from "../report/result.ts";
import type { Operation, Tool } from "../tools/tool.ts";

export interface Measured {
  readonly sample: Sample;
  /** Of the last command. */
  readonly stdout: string;
}

const STDERR_CHARS = 500;

export class Recorder {
  readonly #say: (line: string) => void;
  readonly #steps = new Map<string, StepResult>();

  /** @param say - one line a measurement. */
  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  get steps(): readonly StepResult[] {
    return [...this.#steps.values()];
  }

  async record(step: StepName, tool: Tool, operation: Operation): Promise<Measured> {
    const measured = await runOperation(tool, operation);
    const { sample } = measured;
    const key = keyOf(step, tool);
    const before = this.#steps.get(key);
    this.#steps.set(key, {
      step,
      tool: tool.name,
      commands: operation.map(commandText),
      samples: [...(before?.samples ?? []), sample],
      facts: before?.facts ?? {},
    });
    const outcome = sample.failure ?? `${sample.seconds.toFixed(2)} s`;
    this.#say(`  ${step}, ${tool.name}: ${outcome}`);
    return measured;
  }

  /** What is known already stays. */
  addFacts(step: StepName, tool: Tool, facts: StepFacts): void {
    const key = keyOf(step, tool);
    const before = this.#steps.get(key);
    if (before !== undefined) this.#steps.set(key, { ...before, facts: { ...facts, ...before.facts } });
  }
}

function keyOf(step: StepName, tool: Tool): string {
  return `${step}\n${tool.name}`;
}

/** Times are added, peaks are the highest. Ends at the first command that fails. */
async function runOperation(tool: Tool, operation: Operation): Promise<Measured> {
  let sum: Sample | undefined;
  let stdout = "";
  for (const command of operation) {
    const ran = await run(command);
    stdout = ran.stdout.toString("utf8");
    sum = add(sum, toSample(tool, command, ran));
    if (sum.failure !== undefined) break;
  }
  if (sum === undefined) throw new RangeError("an operation has a command");
  return { sample: sum, stdout };
}

function toSample(tool: Tool, { argv }: Command, { stdout: _, stderr, ...ran }: Ran): Sample {
  if (tool.goodExits.includes(ran.exitCode)) return ran;
  const said = stderr.trim().slice(-STDERR_CHARS);
  return { ...ran, failure: `${argv[0]} ended with ${ran.exitCode}: ${said}` };
}

function add(a: Sample | undefined, b: Sample): Sample {
  if (a === undefined) return b;
  return {
    ...b,
    seconds: a.seconds + b.seconds,
    userSeconds: a.userSeconds + b.userSeconds,
    systemSeconds: a.systemSeconds + b.systemSeconds,
    peakPrivateBytes: Math.max(a.peakPrivateBytes, b.peakPrivateBytes),
    peakAnonymousBytes: Math.max(a.peakAnonymousBytes, b.peakAnonymousBytes),
    peakResidentBytes: Math.max(a.peakResidentBytes, b.peakResidentBytes),
    exitCode: Math.max(a.exitCode, b.exitCode),
  };
}

/** For what has to be done and is not measured. @throws {Error} where a command fails. */
export async function prepare(tool: Tool, operation: Operation): Promise<string> {
  const { sample, stdout } = await runOperation(tool, operation);
  if (sample.failure !== undefined) throw new Error(sample.failure);
  return stdout;
}
