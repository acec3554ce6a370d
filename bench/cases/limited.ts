/** Cyrvault once more, with little memory. */
import { mkdirSync } from "node:fs";
import { limitMemory } from "../measure/cgroup.ts";
import { type Command, commandText } from "../measure/command.ts";
import { run } from "../measure/run.ts";
import type { LimitedResult, LimitedRun, StepName } from "../report/result.ts";
import type { Cyrvault } from "../tools/cyrvault.ts";
import type { Place, Sources } from "../tools/tool.ts";
import { prepare } from "./recorder.ts";

export const MEMORY_LIMIT_BYTES = 256_000_000;

/** @param target - made for a restore; undefined: without one. */
export async function runLimited(
  cyrvault: Cyrvault,
  place: Place,
  sources: Sources,
  target: string | undefined,
  say: (line: string) => void,
): Promise<LimitedResult> {
  const steps: (readonly [StepName, readonly Command[]])[] = [
    ["first backup", cyrvault.backup(place, sources)],
    ["nothing changed", cyrvault.backup(place, sources)],
    ["check", [cyrvault.command(place, "check")]],
    ["rebuild-index", [cyrvault.command(place, "rebuild-index")]],
  ];
  if (target !== undefined) steps.push(["restore", cyrvault.restore(place, target)]);
  await prepare(cyrvault, cyrvault.init(place));
  if (target !== undefined) mkdirSync(target);
  const runs: LimitedRun[] = [];
  for (const [step, commands] of steps) {
    for (const command of commands) {
      const limited = limitMemory(MEMORY_LIMIT_BYTES);
      if (typeof limited === "string") return { unavailable: limited };
      try {
        const { seconds, exitCode } = await run(limited.inside(command));
        const { oomKills, peakBytes } = limited;
        runs.push({ step, command: commandText(command), seconds, exitCode, oomKills, peakBytes });
        say(`  ${step} with 256 MB: ${seconds.toFixed(2)} s, exit code ${exitCode}`);
      } finally {
        limited.remove();
      }
    }
  }
  return { limitBytes: MEMORY_LIMIT_BYTES, runs };
}
