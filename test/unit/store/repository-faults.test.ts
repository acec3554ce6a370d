import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import {
  backUp,
  content,
  names,
  newPlain,
  openPlain,
  readEverything,
  storeData,
} from "./repository-fixture.ts";

const EARLIER = [content("a"), content("b")];
const LATER = [content("b"), content("c"), content("d")];

async function copyOf(files: ReadonlyMap<string, Buffer>): Promise<Map<string, Buffer>> {
  return new Map([...files].map(([name, bytes]) => [name, Buffer.from(bytes)]));
}

/** One backup, and so many segments before its own: with 15 the next commit merges. */
async function withSegments(count: number): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const repository = await newPlain(new MemoryBackend(files));
  const run = await repository.startRun({ server: "other", host: "here" });
  for (let n = 0; n < count; n++) {
    await storeData(run, [content(`filler ${n}`)]);
    await run.writer.flush();
  }
  await run.abort();
  await backUp(repository, EARLIER);
  return files;
}

describe("a backup of which one call to the backend fails", () => {
  test.each(["before", "after"] as const)(
    "(%s its effect) keeps every earlier backup whole, and works when it is run again",
    async (when) => {
      const base = await withSegments(when === "before" ? 15 : 1);
      let failures = 0;
      for (let n = 1; ; n++) {
        const files = await copyOf(base);
        let hasFailed = false;
        const backend = faultyBackend(new MemoryBackend(files), {
          failAt: (call) => {
            if (call !== n) return false;
            hasFailed = true;
            return true;
          },
          when,
        });
        const outcome = await openPlain(backend)
          .then((repository) => backUp(repository, LATER))
          .then(
            () => "done" as const,
            (error: unknown) => {
              if (!isCyrvaultError(error)) throw error;
              return "failed" as const;
            },
          );
        if (outcome === "failed") failures++;

        const inner = new MemoryBackend(files);
        const again = await openPlain(inner);
        const whole = await readEverything(again);
        if (outcome === "done") expect(whole).toBe(2);
        else expect(whole).toBeGreaterThanOrEqual(1);
        await backUp(again, LATER);
        expect(await readEverything(again)).toBe(whole + 1);
        expect((await names(inner, "segments/")).length).toBeLessThanOrEqual(16);
        if (!hasFailed) break;
      }
      expect(failures).toBeGreaterThan(10);
    },
  );

  test("and then everything else fails too, as in a crash: earlier backups are whole", async () => {
    const base = new Map<string, Buffer>();
    await backUp(await newPlain(new MemoryBackend(base)), EARLIER);
    for (let n = 1; ; n++) {
      const files = await copyOf(base);
      const backend = faultyBackend(new MemoryBackend(files), { failAt: (call) => call >= n });
      const hasFailed = await openPlain(backend)
        .then((repository) => backUp(repository, LATER))
        .then(
          () => backend.calls.length >= n,
          () => true,
        );
      const inner = new MemoryBackend(files);
      expect(await readEverything(await openPlain(inner))).toBeGreaterThanOrEqual(1);
      const { stored } = await backUp(await openPlain(inner), LATER);
      expect(stored).toBeLessThanOrEqual(2);
      if (!hasFailed) break;
    }
  });
});
