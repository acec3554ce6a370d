/** Why a prune has freed no space. Pure. */
import type { PrunePlan } from "./plan.ts";

export type WhyNothing =
  /** What forgotten backups need stays as long as they can be brought back. */
  | { readonly reason: "forgotten-in-grace"; readonly count: number; readonly dueMs: number }
  /** Forgotten, and over their time, but somebody holds them or builds upon them. */
  | { readonly reason: "forgotten-held"; readonly count: number }
  | { readonly reason: "nothing-forgotten" }
  /** Packs are marked, and stay for the grace time or until older commands are done. */
  | { readonly reason: "packs-marked"; readonly count: number; readonly dueMs: number }
  | { readonly reason: "commands-at-work"; readonly count: number }
  /** Backups need something of each of the others. What they do not need is not worth writing them anew; 0: it is. */
  | { readonly reason: "packs-needed"; readonly count: number; readonly unusedBytes: number }
  | { readonly reason: "packs-unreadable"; readonly count: number };

/** @param marked - by this prune, and still there. */
export function whyNothingFreed(
  plan: Pick<
    PrunePlan,
    | "forgotten"
    | "forgottenStaying"
    | "holding"
    | "repack"
    | "roots"
    | "total"
    | "unreadable"
    | "waiting"
    | "waitingDueMs"
  >,
  marked: number,
  { nowMs, graceMs }: { readonly nowMs: number; readonly graceMs: number },
): WhyNothing[] {
  const { forgottenStaying, holding, repack, roots, total, unreadable, waiting } = plan;
  const { inGrace, dueMs, held } = forgottenStaying;
  const reasons: WhyNothing[] = [];
  const inMark = waiting.length + marked;
  if (dueMs !== undefined) reasons.push({ reason: "forgotten-in-grace", count: inGrace, dueMs });
  if (held > 0) reasons.push({ reason: "forgotten-held", count: held });
  if (roots.forgotten.length === 0 && inMark === 0) reasons.push({ reason: "nothing-forgotten" });
  if (inMark > 0)
    reasons.push({ reason: "packs-marked", count: inMark, dueMs: plan.waitingDueMs ?? nowMs + graceMs });
  if (holding.length > 0) reasons.push({ reason: "commands-at-work", count: holding.length });
  const needed = total.packs - inMark - unreadable.length;
  const unusedBytes = repack.packs.length > 0 ? 0 : repack.unusedBytes;
  if (needed > 0) reasons.push({ reason: "packs-needed", count: needed, unusedBytes });
  if (unreadable.length > 0) reasons.push({ reason: "packs-unreadable", count: unreadable.length });
  return reasons;
}
