/** What is done with a tree. */
import type { CaseId, Round } from "../report/result.ts";
import type { ToolName } from "../tools/tool.ts";

export interface CaseDefinition {
  readonly id: CaseId;
  readonly title: string;
  /** Of bench/generate.ts; undefined: the real spool. */
  readonly tree: readonly string[] | undefined;
  /** The same mailboxes with fewer messages: does an unchanged server cost what it has or what it changed? */
  readonly smallTree?: readonly string[];
  readonly tools: readonly ToolName[];
  /** Rounds of each step; 0: it is left out. */
  readonly rounds: {
    readonly first: number;
    readonly unchanged: number;
    readonly cold: number;
    readonly restore: number;
    readonly inspect: number;
  };
  readonly messages: number;
  readonly floor: boolean;
  /** The number of the last one; the first backup is day 1. */
  readonly lastDay: number;
  /** How many of the days the other tools back up too. */
  readonly comparedDays: number;
  /** Once more with little memory. */
  readonly limited: boolean;
  /** On 2 cores, trees and all. */
  readonly expectedMinutes: number;
}

const ALL_TOOLS: readonly ToolName[] = ["cyrvault", "restic", "borg", "bup"];

const TREE_C = ["--users", "1000", "--folders", "10"];
const CONTENT_C = ["--attachment-share", "0.2", "--document-scale", "0.05", "--text-scale", "0.5"];

const FULL: readonly CaseDefinition[] = [
  {
    id: "A",
    title: "a server with attachments, half of its content repeated",
    tree: ["--users", "200", "--folders", "12", "--messages", "46000"],
    tools: ALL_TOOLS,
    rounds: { first: 3, unchanged: 5, cold: 0, restore: 3, inspect: 3 },
    messages: 5,
    floor: true,
    lastDay: 100,
    comparedDays: 3,
    limited: true,
    expectedMinutes: 50,
  },
  {
    id: "B",
    title: "plain list mail, nothing repeated",
    tree: [
      ...["--users", "20", "--folders", "10", "--messages", "40000"],
      ...["--attachment-share", "0", "--repetition", "0"],
    ],
    tools: ALL_TOOLS,
    rounds: { first: 3, unchanged: 5, cold: 0, restore: 3, inspect: 3 },
    messages: 5,
    floor: true,
    lastDay: 1,
    comparedDays: 0,
    limited: true,
    expectedMinutes: 15,
  },
  {
    id: "C",
    title: "a million messages in 10,000 mailboxes",
    tree: [...TREE_C, "--messages", "1000000", ...CONTENT_C],
    smallTree: [...TREE_C, "--messages", "100000", ...CONTENT_C],
    tools: ["cyrvault", "restic", "borg"],
    rounds: { first: 1, unchanged: 3, cold: 0, restore: 1, inspect: 3 },
    messages: 9,
    floor: false,
    lastDay: 100,
    comparedDays: 3,
    limited: true,
    expectedMinutes: 120,
  },
  {
    id: "D",
    title: "250,000 mailboxes",
    tree: [
      ...["--users", "10000", "--folders", "25", "--messages", "250000"],
      ...["--attachment-share", "0", "--text-scale", "0.2"],
    ],
    tools: ["cyrvault", "restic"],
    rounds: { first: 1, unchanged: 3, cold: 2, restore: 0, inspect: 1 },
    messages: 0,
    floor: false,
    lastDay: 1,
    comparedDays: 0,
    limited: true,
    expectedMinutes: 75,
  },
];

/** The same on small trees: shows that everything works, and roughly how the tools compare. */
const QUICK: Readonly<Partial<Record<CaseId, Partial<CaseDefinition>>>> = {
  A: {
    tree: ["--users", "20", "--folders", "6", "--messages", "800"],
    rounds: { first: 1, unchanged: 1, cold: 0, restore: 1, inspect: 1 },
    messages: 1,
    lastDay: 3,
    comparedDays: 1,
    expectedMinutes: 0.7,
  },
  B: {
    tree: [
      ...["--users", "4", "--folders", "5", "--messages", "2000"],
      ...["--attachment-share", "0", "--repetition", "0"],
    ],
    rounds: { first: 1, unchanged: 1, cold: 0, restore: 1, inspect: 1 },
    messages: 0,
    expectedMinutes: 0.4,
  },
  C: {
    tree: ["--users", "30", "--folders", "10", "--messages", "5000", ...CONTENT_C],
    smallTree: ["--users", "30", "--folders", "10", "--messages", "500", ...CONTENT_C],
    rounds: { first: 1, unchanged: 3, cold: 0, restore: 0, inspect: 1 },
    messages: 3,
    lastDay: 3,
    comparedDays: 1,
    expectedMinutes: 1,
  },
  D: {
    tree: [
      ...["--users", "40", "--folders", "25", "--messages", "1000"],
      ...["--attachment-share", "0", "--text-scale", "0.2"],
    ],
    rounds: { first: 1, unchanged: 1, cold: 0, restore: 0, inspect: 1 },
    expectedMinutes: 0.5,
  },
};

const SPOOL: CaseDefinition = {
  id: "S",
  title: "a real spool",
  tree: undefined,
  tools: ALL_TOOLS,
  rounds: { first: 1, unchanged: 3, cold: 0, restore: 1, inspect: 1 },
  messages: 5,
  floor: true,
  lastDay: 1,
  comparedDays: 0,
  limited: true,
  expectedMinutes: Number.NaN,
};

export function caseDefinitions(round: Round): readonly CaseDefinition[] {
  if (round === "spool") return [SPOOL];
  return round === "full" ? FULL : FULL.map((full) => ({ ...full, ...QUICK[full.id] }));
}

/** One line each of what will be done. */
export function planLines(definition: CaseDefinition, tools: readonly ToolName[]): string[] {
  const { id, title, rounds, floor, lastDay, comparedDays, messages, expectedMinutes, limited, smallTree } =
    definition;
  const all = tools.join(", ");
  const step = (name: string, times: number, who: string) =>
    times === 0 ? [] : [`  ${name}: ${who}; ${times === 1 ? "1 round" : `${times} rounds`}`];
  const time = Number.isNaN(expectedMinutes) ? "time unknown" : `about ${expectedMinutes} min`;
  return [
    `${id}: ${title} (${time})`,
    ...step("first backup", rounds.first, all),
    ...(floor ? ["  the floor: zstd -19 --long=27"] : []),
    ...step("nothing changed, warm", rounds.unchanged, all),
    ...step("nothing changed, cold", rounds.cold, all),
    ...(smallTree === undefined ? [] : step("nothing changed, fewer messages", rounds.unchanged, "cyrvault")),
    ...step("restore", rounds.restore, all),
    ...step("one message", messages, "cyrvault"),
    ...step("check, rebuild-index", rounds.inspect, "cyrvault"),
    ...(limited ? ["  once more with 256 MB: cyrvault, where cgroup version 2 allows it"] : []),
    ...(lastDay < 2
      ? []
      : [`  days 2 to ${lastDay}: cyrvault; the others the first ${comparedDays} of them`]),
  ];
}
