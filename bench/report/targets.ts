/** What was aimed at, and what came of it. Pure. */
import { median } from "../measure/statistics.ts";
import type { ToolName } from "../tools/tool.ts";
import { bytesText, countText, ratioText, secondsText } from "./format.ts";
import {
  type BenchResult,
  type CaseId,
  type CaseResult,
  findStep,
  goodSamples,
  type LimitedRun,
  type StepName,
} from "./result.ts";

export interface TargetRow {
  readonly caseId: CaseId;
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  /** Undefined: not measured, or nothing was aimed at. */
  readonly met: boolean | undefined;
}

const NOT_MEASURED = "not measured";
const MEMORY_BYTES = 256_000_000;
/** Of days at both ends: one alone says little. */
const DAYS_COMPARED = 3;

/** In the order of the cases; rows of cases that were not run are left out. */
export function targetRows({ cases }: BenchResult): TargetRow[] {
  return cases.flatMap((result) => {
    const { id } = result;
    const isA = id === "A" || id === "S";
    return [
      ...(isA ? [sizeRow(result, "restic", 1 / 3, "1/3"), sizeRow(result, "bup", 0.75, "0.75")] : []),
      ...(isA ? [floorRow(result)] : []),
      ...(id === "B" ? [sizeRow(result, "restic", 1 / 2, "1/2")] : []),
      ...(isA || id === "B" ? [timeRow(result, "first backup", 0.5)] : []),
      ...(isA ? [timeRow(result, "restore", 0.8), openedRow(result, "restore", 1.5)] : []),
      ...(id === "C" ? unchangedRows(result) : []),
      ...(id === "A" || id === "C" ? dayRows(result) : []),
      ...(id === "A" ? [openedRow(result, "restore after the days", 4)] : []),
      ...(id === "C" ? [messageRow(result), rebuildRow(result), checkRow(result)] : []),
      ...(id === "D" ? publishedRows(result) : []),
      memoryRow(result),
      limitRow(result),
    ];
  });
}

function sizeRow(result: CaseResult, other: ToolName, limit: number, limitText: string): TargetRow {
  const [own, theirs] = [repositoryBytes(result, "cyrvault"), repositoryBytes(result, other)];
  return atMost(
    result,
    `repository after the first backup, of ${other}'s`,
    limit,
    limitText,
    own,
    theirs,
    bytesText,
  );
}

function floorRow(result: CaseResult): TargetRow {
  const floor = result.floor && result.floor.mailCompressed + result.floor.otherCompressed;
  const own = repositoryBytes(result, "cyrvault");
  const row = atMost(result, "repository, of the floor", 1.15, "1.15", own, floor, bytesText);
  if (result.floor === undefined || own === undefined) return row;
  const mail = bytesText(result.floor.mailCompressed);
  const restic = repositoryBytes(result, "restic");
  // Nobody gets below it: whether the target beside restic can be met at all depends on the tree.
  const ofRestic =
    floor === undefined || !restic ? "" : `; the floor itself, of restic's: ${ratioText(floor / restic)}`;
  return { ...row, measured: `${row.measured}; the floor of the mail alone: ${mail}${ofRestic}` };
}

function timeRow(result: CaseResult, step: StepName, limit: number): TargetRow {
  const what = step === "restore" ? "full restore, of restic's time" : `${step}, of restic's time`;
  const [own, theirs] = [medianSeconds(result, step, "cyrvault"), medianSeconds(result, step, "restic")];
  return atMost(result, what, limit, String(limit), own, theirs, secondsText);
}

function openedRow(result: CaseResult, step: StepName, limit: number): TargetRow {
  const { blockBytesOpened, blockBytesNeeded } = findStep(result, step, "cyrvault")?.facts ?? {};
  const what = `${step === "restore" ? "full restore" : step}, bytes opened of bytes needed`;
  return atMost(result, what, limit, String(limit), blockBytesOpened, blockBytesNeeded, bytesText);
}

function unchangedRows(result: CaseResult): TargetRow[] {
  const own = medianSeconds(result, "nothing changed", "cyrvault");
  const theirs = medianSeconds(result, "nothing changed", "restic");
  const small = medianSeconds(result, "small tree", "cyrvault");
  const ratio = own !== undefined && small !== undefined ? small / own : undefined;
  const few = result.smallTree === undefined ? "fewer" : countText(result.smallTree.messages);
  return [
    {
      caseId: result.id,
      what: "nothing changed, warm",
      target: "under 2 s",
      measured: own === undefined ? NOT_MEASURED : secondsText(own),
      met: own === undefined ? undefined : own < 2,
    },
    atMost(result, "nothing changed, warm, of restic's time", 1 / 50, "1/50", own, theirs, secondsText),
    {
      caseId: result.id,
      what: `nothing changed with ${few} messages in the same mailboxes, of that with all`,
      target: "0.8 to 1.2",
      measured:
        ratio === undefined
          ? NOT_MEASURED
          : `${ratio.toFixed(2)}: ${secondsText(small as number)} of ${secondsText(own as number)}`,
      met: ratio === undefined ? undefined : ratio >= 0.8 && ratio <= 1.2,
    },
  ];
}

function dayRows(result: CaseResult): TargetRow[] {
  const days = goodSamples(result, "day", "cyrvault").map(({ seconds }) => seconds);
  const theirs = goodSamples(result, "day", "restic").map(({ seconds }) => seconds);
  const own = median(days.slice(0, theirs.length));
  const what = "a day with 5 % of mailboxes touched, of restic's time";
  const compared = atMost(result, what, 0.1, "1/10", own, median(theirs), secondsText);
  const count = Math.min(DAYS_COMPARED, Math.floor(days.length / 2));
  const [first, last] = [median(days.slice(0, count)), median(days.slice(days.length - count))];
  const lastDay = days.length + 1;
  const named =
    count === 1
      ? `day ${lastDay}, of day 2`
      : `days ${lastDay - count + 1}–${lastDay}, of days 2–${count + 1}`;
  if (count === 0) return [compared];
  return [compared, atMost(result, named, 1.2, "1.2", last, first, secondsText)];
}

function messageRow(result: CaseResult): TargetRow {
  const start = medianSeconds(result, "start", "cyrvault");
  const message = medianSeconds(result, "one message", "cyrvault");
  const beyond = start === undefined || message === undefined ? undefined : message - start;
  return {
    caseId: result.id,
    what: "one message, beyond program start and key derivation",
    target: "under 0.5 s",
    measured:
      beyond === undefined
        ? NOT_MEASURED
        : `${secondsText(Math.max(0, beyond))}: ${secondsText(message as number)} less ${secondsText(start as number)}`,
    met: beyond === undefined ? undefined : beyond < 0.5,
  };
}

function rebuildRow(result: CaseResult): TargetRow {
  const seconds = medianSeconds(result, "rebuild-index", "cyrvault");
  const objects = findStep(result, "rebuild-index", "cyrvault")?.facts.objects;
  const rate = seconds === undefined || objects === undefined ? undefined : objects / seconds;
  return {
    caseId: result.id,
    what: "rebuild-index, start and key derivation included",
    target: "at least 100,000 objects a second",
    measured:
      rate === undefined
        ? NOT_MEASURED
        : `${countText(rate)} a second: ${countText(objects as number)} in ${secondsText(seconds as number)}`,
    met: rate === undefined ? undefined : rate >= 100_000,
  };
}

function checkRow(result: CaseResult): TargetRow {
  const seconds = medianSeconds(result, "check", "cyrvault");
  return {
    caseId: result.id,
    what: "structural check",
    target: "at most 60 s",
    measured: seconds === undefined ? NOT_MEASURED : secondsText(seconds),
    met: seconds === undefined ? undefined : seconds <= 60,
  };
}

function publishedRows(result: CaseResult): TargetRow[] {
  return (["nothing changed", "nothing changed, cold"] as const).map((step) => {
    const own = medianSeconds(result, step, "cyrvault");
    const theirs = medianSeconds(result, step, "restic");
    const compared = theirs === undefined ? "" : `; restic ${secondsText(theirs)}`;
    return {
      caseId: result.id,
      what: step === "nothing changed" ? "nothing changed, warm" : step,
      target: "published",
      measured: own === undefined ? NOT_MEASURED : `${secondsText(own)}${compared}`,
      met: undefined,
    };
  });
}

function memoryRow(result: CaseResult): TargetRow {
  const steps = result.steps
    .filter(({ tool }) => tool === "cyrvault")
    .flatMap(({ step, samples }) => samples.map((sample) => ({ step, sample })));
  const highest = steps.toSorted((a, b) => b.sample.peakPrivateBytes - a.sample.peakPrivateBytes)[0];
  const row = {
    caseId: result.id,
    what: "peak private memory in all steps",
    target: `at most ${bytesText(MEMORY_BYTES)}`,
  };
  if (highest === undefined) return { ...row, measured: NOT_MEASURED, met: undefined };
  const { peakPrivateBytes } = highest.sample;
  const anonymous = Math.max(...steps.map(({ sample }) => sample.peakAnonymousBytes));
  return {
    ...row,
    measured: `${bytesText(peakPrivateBytes)} (${highest.step}); not backed by files: at most ${bytesText(anonymous)}`,
    met: peakPrivateBytes <= MEMORY_BYTES,
  };
}

function limitRow({ id, limited }: CaseResult): TargetRow {
  const row = { caseId: id, what: "finishes in a cgroup with memory.max", target: bytesText(MEMORY_BYTES) };
  if (limited === undefined) return { ...row, measured: NOT_MEASURED, met: undefined };
  if ("unavailable" in limited)
    return { ...row, measured: `${NOT_MEASURED}: ${limited.unavailable}`, met: undefined };
  const ended = limited.runs.filter((run) => !hasFinished(run)).map(({ step }) => step);
  const measured =
    ended.length === 0
      ? `${limited.runs.length} of ${limited.runs.length} steps`
      : `not: ${ended.join(", ")}`;
  return { ...row, measured, met: ended.length === 0 };
}

function hasFinished({ exitCode, oomKills }: LimitedRun): boolean {
  return (exitCode === 0 || exitCode === 3) && oomKills === 0;
}

function atMost(
  { id }: CaseResult,
  what: string,
  limit: number,
  limitText: string,
  own: number | undefined,
  other: number | undefined,
  text: (value: number) => string,
): TargetRow {
  const row = { caseId: id, what, target: `at most ${limitText}` };
  if (own === undefined || other === undefined || other === 0)
    return {
      ...row,
      measured: own === undefined ? NOT_MEASURED : `${text(own)}, and nothing to compare with`,
      met: undefined,
    };
  const ratio = own / other;
  return { ...row, measured: `${ratioText(ratio)}: ${text(own)} of ${text(other)}`, met: ratio <= limit };
}

export function medianSeconds(result: CaseResult, step: StepName, tool: ToolName): number | undefined {
  return median(goodSamples(result, step, tool).map(({ seconds }) => seconds));
}

export function repositoryBytes(result: CaseResult, tool: ToolName): number | undefined {
  if (goodSamples(result, "first backup", tool).length === 0) return undefined;
  return findStep(result, "first backup", tool)?.facts.repositoryBytes;
}
