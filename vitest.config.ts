import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const project = (name: string, testTimeout: number, extra: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: testTimeout, ...extra },
});

/** Vitest takes one less than there are processors: on two that would be one file after the other. */
const workers = { maxWorkers: Math.max(2, availableParallelism() - 1) };

/** What takes longest begins first, so that nothing is left alone at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ project: { name } }: TestSpecification) => name === "vm";
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      project("unit", 30_000, workers),
      project("conformance", 60_000, workers),
      project("fault", 300_000, workers),
      project("model", 300_000, workers),
      project("vm", 900_000, workers),
      project("e2e", 600_000, workers),
    ],
  },
});
