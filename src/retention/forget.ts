/** Forgetting backups by policy or by name: a plan first, then its execution. */
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { forgetBackup } from "../store/forgotten.ts";
import type { Repository } from "../store/repository.ts";
import type { BackupTags } from "./backup-tags.ts";
import {
  decideRetention,
  type RetentionCandidate,
  type RetentionRules,
  type RetentionVerdict,
} from "./policy.ts";

export interface ForgetPlan {
  /** By server, newest first. */
  readonly verdicts: readonly RetentionVerdict<RetentionCandidate>[];
}

export type ForgetTarget = Pick<Repository, "backend" | "sealer" | "requireWritable">;

/** @param roots - all backups that count, of whichever servers are meant. */
export async function planByPolicy(
  roots: AsyncIterable<ManifestRoot>,
  tags: ReadonlyMap<string, BackupTags>,
  rules: RetentionRules,
  nowMs: number,
): Promise<ForgetPlan> {
  requireRules(rules);
  const candidates: RetentionCandidate[] = [];
  for await (const root of roots) candidates.push(candidateOf(root, tags.get(root.backup)));
  return { verdicts: decideRetention(candidates, rules, nowMs) };
}

/**
 * Those that are named go, whatever the policy.
 * @throws {CyrvaultError} `USAGE`: one of them has a hold.
 */
export function planByName(
  roots: readonly ManifestRoot[],
  tags: ReadonlyMap<string, BackupTags>,
): ForgetPlan {
  const candidates = [...new Map(roots.map((root) => [root.backup, root])).values()].map((root) =>
    candidateOf(root, tags.get(root.backup)),
  );
  const held = candidates.find(({ hold }) => hold !== undefined);
  if (held !== undefined)
    throw new CyrvaultError("USAGE", `${held.backup} has a hold: ${held.hold}`, {
      hint: `cyrvault tag ${held.backup} --release takes it off`,
    });
  return { verdicts: candidates.map((candidate) => ({ candidate, reasons: [] })) };
}

export function goingOf(plan: ForgetPlan): RetentionCandidate[] {
  return plan.verdicts.filter(({ reasons }) => reasons.length === 0).map(({ candidate }) => candidate);
}

/** @returns how many went. What somebody else has forgotten meanwhile is passed over. */
export async function runForget(
  plan: ForgetPlan,
  target: ForgetTarget,
  nowMs: number,
  signal: AbortSignal,
): Promise<number> {
  target.requireWritable();
  let count = 0;
  // The oldest first: broken off, it leaves what the policy values most.
  for (const { backup } of goingOf(plan).reverse()) {
    signal.throwIfAborted();
    try {
      await forgetBackup(target, backup, nowMs);
      count++;
    } catch (error) {
      if (!isCyrvaultError(error, "BACKUP_NOT_FOUND")) throw error;
    }
  }
  return count;
}

/** @throws {CyrvaultError} `USAGE`: there are none. */
export function requireRules(rules: RetentionRules): void {
  if (hasRules(rules)) return;
  throw new CyrvaultError("USAGE", "which backups are to stay?", {
    hint: "give --keep-daily 14 or another --keep option, or name the backups that are to go",
  });
}

function candidateOf(root: ManifestRoot, tags: BackupTags | undefined): RetentionCandidate {
  return {
    backup: root.backup,
    server: root.server,
    timeMs: root.startedMs,
    parent: root.parent,
    incomplete: root.counts.findings.error > 0,
    hold: tags?.hold,
    tags: tags?.tags ?? [],
  };
}

export function hasRules(rules: RetentionRules): boolean {
  const { last, hourly, daily, weekly, monthly, yearly, withinMs, tags } = rules;
  return last + hourly + daily + weekly + monthly + yearly + withinMs > 0 || tags.length > 0;
}
