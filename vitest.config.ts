import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What measures memory or how long a client waits: a test beside it would be measured too. */
const ALONE = ["test/fault/memory.test.ts", "test/fault/large-message.test.ts", "test/e2e/live.test.ts"];

/** Those that take longer than half a minute, the longest first. */
const LONG = [
  "test/vm/lvm.test.ts",
  "test/fault/disk-faults.test.ts",
  "test/e2e/quiesce.test.ts",
  "test/fault/kill.test.ts",
  "test/fault/crash-points.test.ts",
  "test/e2e/second-reader.test.ts",
  "test/e2e/cli.test.ts",
  "test/e2e/daily-run.test.ts",
  "test/fault/kill-together.test.ts",
  "test/e2e/large-mailbox.test.ts",
  "test/fault/fuzz.test.ts",
  "test/e2e/snapshot.test.ts",
  "test/fault/repair.test.ts",
  "test/conformance/golden.test.ts",
  "test/fault/flipped-bytes.test.ts",
  "test/e2e/runbook.test.ts",
  "test/e2e/operating-document.test.ts",
];

const project = (name: string, testTimeout: number, extra: object = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    exclude: ALONE,
    testTimeout,
    hookTimeout: testTimeout,
    // Vitest takes one less than there are processors: on two that would be one file after the other.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    ...extra,
  },
});

/** What takes longest begins first, so that nothing is left alone at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONG.findIndex((path) => moduleId.endsWith(`/${path}`));
      return at < 0 ? LONG.length : at;
    };
    return sorted.sort((one, other) => rank(one) - rank(other));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      project("unit", 30_000),
      project("conformance", 60_000),
      project("fault", 300_000),
      project("model", 300_000),
      project("vm", 900_000),
      project("e2e", 600_000),
      // A group of its own: it begins when all others have ended.
      project("alone", 600_000, { include: ALONE, exclude: [], maxWorkers: 1, sequence: { groupOrder: 1 } }),
    ],
  },
});
