import { describe, expect, test } from "vitest";
import { type StatusOptions, statusOf } from "../../../src/inspect/status.ts";
import type { ManifestRoot } from "../../../src/manifest/model.ts";

const HOUR_MS = 3_600_000;
const NOW = 1_800_000_000_000;

/** @param hours - ago. */
function backup(
  server: string,
  hours: number,
  error = 0,
): Parameters<typeof statusOf>[0] extends AsyncIterable<infer T> ? T : never {
  const counts = { findings: { note: 3, warning: 2, error, accepted: 1 } } as ManifestRoot["counts"];
  return { backup: `${server}-${hours}`, server, startedMs: NOW - hours * HOUR_MS, counts };
}

async function status(backups: ReturnType<typeof backup>[], options: Partial<StatusOptions> = {}) {
  const given = { server: undefined, maxAgeMs: 26 * HOUR_MS, goodOnly: false, nowMs: NOW, ...options };
  return await statusOf(
    (async function* () {
      yield* backups;
    })(),
    given,
  );
}

describe("the newest backup of each server", () => {
  test("is well when it is young enough, and its errors are counted", async () => {
    expect(await status([backup("b", 1, 4), backup("b", 30), backup("a", 26)])).toEqual([
      expect.objectContaining({ server: "a", problem: undefined, ageMs: 26 * HOUR_MS }),
      expect.objectContaining({
        server: "b",
        problem: undefined,
        newest: { backup: "b-1", timeMs: NOW - HOUR_MS, errors: 4 },
      }),
    ]);
  });

  test("is too old a moment after the time", async () => {
    const [{ problem } = { problem: undefined }] = await status([backup("a", 26.001)]);
    expect(problem).toBe("too-old");
  });

  test("of a mailbox list alone is no server's: it neither rings the alarm nor keeps it quiet", async () => {
    const list = (hours: number) => backup("a (mailbox list)", hours);
    expect(await status([backup("a", 20), list(50), list(40)])).toEqual([
      expect.objectContaining({
        server: "a",
        problem: undefined,
        mailboxList: { backup: "a (mailbox list)-40", timeMs: NOW - 40 * HOUR_MS },
      }),
    ]);
    expect(await status([backup("a", 30), list(1)])).toMatchObject([{ server: "a", problem: "too-old" }]);
    expect(await status([list(1)])).toMatchObject([{ server: "a", problem: "no-backup" }]);
    expect(await status([backup("b", 1), list(1)], { server: "b" })).toMatchObject([
      { server: "b", mailboxList: undefined },
    ]);
    expect(await status([backup("a", 1), list(40)], { server: "a (mailbox list)" })).toMatchObject([
      { server: "a (mailbox list)", problem: "too-old", mailboxList: undefined },
    ]);
  });

  test("is never too old when no time is given", async () => {
    expect(await status([backup("a", 9999)], { maxAgeMs: undefined })).toMatchObject([
      { problem: undefined },
    ]);
  });

  test("does not count with errors, if only good ones do", async () => {
    const backups = [backup("a", 1, 1), backup("a", 20), backup("b", 1, 1)];
    expect(await status(backups, { goodOnly: true })).toMatchObject([
      { server: "a", newest: { backup: "a-20" }, problem: undefined },
      { server: "b", newest: undefined, problem: "none-without-errors" },
    ]);
  });

  test("of one server alone, which need not have any", async () => {
    expect(await status([backup("a", 50), backup("b", 1)], { server: "b" })).toMatchObject([
      { server: "b", problem: undefined },
    ]);
    expect(await status([backup("a", 1)], { server: "c" })).toMatchObject([
      { server: "c", newest: undefined, problem: "no-backup" },
    ]);
  });

  test("does not count when it is of the future: it would be young for ever", async () => {
    expect(await status([backup("a", -48), backup("a", 30)])).toMatchObject([
      { newest: { backup: "a-30" }, problem: "too-old", inFuture: 1 },
    ]);
    expect(await status([backup("a", -0.1)])).toMatchObject([{ ageMs: 0, problem: undefined }]);
  });

  test("of no server at all is nothing", async () => {
    expect(await status([])).toEqual([]);
  });
});
