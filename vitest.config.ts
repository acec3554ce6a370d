import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const project = (name: string, testTimeout: number, extra: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: testTimeout, ...extra },
});

/** Vitest takes one less than there are processors: on two that would be one file after the other. */
const workers = { maxWorkers: Math.max(2, availableParallelism() - 1) };

export default defineConfig({
  test: {
    projects: [
      project("unit", 30_000, workers),
      project("conformance", 60_000, workers),
      project("fault", 300_000, workers),
      project("model", 300_000, workers),
      project("vm", 600_000, workers),
      project("e2e", 600_000, workers),
    ],
  },
});
