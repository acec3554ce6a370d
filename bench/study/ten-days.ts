/**
 * Ten days of a real Cyrus with conversations, delayed expunge and repacks: what each class of Cyrus's own files
 * costs a day, and what other ways of cutting them would cost.
 *
 *   npx tsx bench/study/ten-days.ts [--work DIR] [--days 10] [--scale 1] [--cyrvault FILE] [--compare-only]
 *
 * Needs root and Debian's cyrus-imapd, cyrus-admin and sasl2-bin; `npm run build` first. --compare-only uses the
 * copies that an earlier run left in DIR.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cyrusMissing } from "../../test/support/cyrus-server.ts";
import { compareAlternatives } from "./compare.ts";
import { copyDay, type MessageTotals } from "./day-copies.ts";
import { type DayEvents, LiveServer } from "./live-server.ts";
import { NewObjects, type RepositoryDay } from "./new-objects.ts";

interface Day {
  readonly day: number;
  readonly events?: DayEvents;
  readonly messages: MessageTotals;
  readonly repository: RepositoryDay;
  readonly backup: unknown;
}

/** A file younger than this at the cut is compared by content the next time. */
const SETTLE_MS = 2_500;

const { values } = parseArgs({
  options: {
    work: { type: "string", default: join(tmpdir(), "cyrvault-ten-days") },
    days: { type: "string", default: "10" },
    scale: { type: "string", default: "1" },
    cyrvault: { type: "string", default: join(import.meta.dirname, "../../bin/cyrvault.js") },
    "compare-only": { type: "boolean", default: false },
  },
});

if (!values["compare-only"]) await liveDays(values.work, Number(values.days), Number(values.scale));
const dayDirectories = readdirSync(join(values.work, "days")).sort();
const days: Day[] = JSON.parse(readFileSync(join(values.work, "days.json"), "utf8"));
const report = compareAlternatives(
  dayDirectories.map((name) => join(values.work, "days", name)),
  days.map(({ events }) => events?.repacked === true),
);
process.stdout.write(`${repositoryTable(days)}\n${report}\n`);

async function liveDays(work: string, count: number, scale: number): Promise<void> {
  const missing = cyrusMissing();
  if (missing !== undefined) throw new Error(missing);
  for (const name of ["server", "repository", "days"])
    rmSync(join(work, name), { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const repository = join(work, "repository");
  cyrvault(["init", "--repo", repository, "--no-encryption"]);
  const live = await LiveServer.create(join(work, "server"), scale);
  const objects = new NewObjects(repository);
  const results: Day[] = [];
  let before: string | undefined;
  try {
    for (let day = 0; day <= count; day++) {
      await live.server.start();
      const events = day === 0 ? await live.fill() : await live.live(day);
      await live.server.stop();
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      const copy = join(work, "days", String(day).padStart(2, "0"));
      const messages = copyDay(live.server.directory, before, copy);
      before = copy;
      const backup = cyrvault([
        "backup",
        "--repo",
        repository,
        "--config",
        live.server.configPath,
        "--json",
        "--quiet",
      ]);
      results.push({
        day,
        ...(events !== undefined && { events }),
        messages,
        repository: await objects.take(),
        backup,
      });
      process.stderr.write(`day ${day}: ${JSON.stringify(events ?? {})} ${JSON.stringify(messages)}\n`);
      writeFileSync(join(work, "days.json"), `${JSON.stringify(results, undefined, 1)}\n`);
    }
  } finally {
    await live.server.stop();
  }
}

/** What `--json` prints last, or undefined. */
function cyrvault(args: readonly string[]): unknown {
  const output = execFileSync(process.execPath, [values.cyrvault, ...args], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (!args.includes("--json")) return undefined;
  return JSON.parse(output.trimEnd().split("\n").at(-1) ?? "null");
}

/** What the backups of days 1 and after added: means of a day, by kind. */
function repositoryTable(all: readonly Day[]): string {
  const later = all.slice(1);
  const sums = new Map<string, { objects: number; raw: number; stored: number }>();
  for (const { repository } of later) {
    for (const [kind, { objects, raw, stored }] of Object.entries(repository.kinds))
      add(kind, objects, raw, stored);
    for (const [name, bytes] of Object.entries(repository.bookkeeping)) add(name, 0, bytes, bytes);
  }
  function add(name: string, objects: number, raw: number, stored: number): void {
    const sum = sums.get(name) ?? { objects: 0, raw: 0, stored: 0 };
    sums.set(name, { objects: sum.objects + objects, raw: sum.raw + raw, stored: sum.stored + stored });
  }
  const kb = (bytes: number) => (bytes / later.length / 1000).toFixed(1);
  const rows = [...sums].map(
    ([name, { objects, raw, stored }]) =>
      `| ${name} | ${(objects / later.length).toFixed(1)} | ${kb(raw)} | ${kb(stored)} |`,
  );
  return [
    "| a day's backup adds (mean) | objects | raw kB | stored kB |",
    "| --- | --: | --: | --: |",
    ...rows,
    "",
  ].join("\n");
}
