import { defineConfig } from "vitest/config";

const project = (name: string, testTimeout: number, extra: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: testTimeout, ...extra },
});

export default defineConfig({
  test: {
    projects: [
      project("unit", 30_000),
      project("conformance", 60_000),
      project("fault", 300_000),
      project("model", 300_000),
      // A real Cyrus listens on fixed loopback ports: one file at a time.
      project("e2e", 600_000, { fileParallelism: false }),
    ],
  },
});
