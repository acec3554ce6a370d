import { joinPath, toText } from "../base/byte-string.ts";
import type { Clock } from "../base/clock.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { MAX_HEADER_BYTES } from "../cyrus/index-format.ts";
import { parseIndexHeader } from "../cyrus/index-reader.ts";
import type { LeftOut } from "../manifest/model.ts";
import { SourceFile, sameStat } from "../source/read-file.ts";
import type { Repository } from "../store/repository.ts";
import { bindServer } from "./bind-server.ts";
import { Decisions } from "./decisions.ts";
import { BufferedFindings } from "./finding-sink.ts";
import { joinServerMailboxes } from "./join-server.ts";
import { MailboxHistory, whyMailboxChanged } from "./mailbox-history.ts";
import type { MailboxPlace } from "./mailbox-places.ts";
import type { BackupOptions } from "./options.ts";
import { openMailboxList, readMailboxListFile } from "./read-mailbox-list.ts";
import { readSpecialUse } from "./special-use.ts";
import { LeftOutSummary } from "./survey-files.ts";
import { surveyServer } from "./survey-server.ts";

export interface BackupPlan {
  readonly server: string;
  readonly parent: string | undefined;
  readonly roots: readonly {
    readonly kind: string;
    readonly name: string;
    readonly path: string;
    readonly readFrom: string;
  }[];
  readonly mailboxes: {
    readonly total: number;
    readonly changed: number;
    readonly unchanged: number;
    readonly new: number;
    readonly gone: number;
    /** Of those that are not new. */
    readonly renamed: number;
  };
  /** Records in the indexes of mailboxes that are new or changed, less what the parent has of them: what may have to be read. */
  readonly messagesToReadAtMost: number;
  readonly files: { readonly total: number; readonly toRead: number; readonly bytesToRead: number };
  readonly leftOut: readonly LeftOut[];
  readonly excluded: readonly string[];
}

export async function planBackup(
  options: BackupOptions,
  { repository, clock }: { readonly repository: Repository; readonly clock: Clock },
): Promise<BackupPlan> {
  const { view, server, name, parents } = await bindServer(options, repository);
  const findings = new BufferedFindings();
  const uses = options.filter?.excludeSpecialUse ?? [];
  const specialUse = readSpecialUse(server.layout, uses, view, findings);
  const decisions = new Decisions(options, server.layout, clock.nowMs(), specialUse);
  const before = parents.checkpoints[0] ?? parents.backup;
  const source = repository.objects;

  const surveyed = await surveyServer(
    { view, roots: server.roots, before, source, decisions },
    async (items) => {
      const files = { total: 0, toRead: 0, bytesToRead: 0 };
      const leftOut = new LeftOutSummary();
      for await (const { type, path, stat, leftOut: reason, before } of items) {
        if (reason !== undefined) leftOut.add(path, reason, type === "file" ? stat.size : 0);
        else if (type === "file") {
          files.total++;
          if (before?.content !== undefined && !before.racy && sameStat(before.stat, stat)) continue;
          files.toRead++;
          files.bytesToRead += stat.size;
        }
      }
      return { files, leftOut: leftOut.entries() };
    },
  );

  const listPath = server.layout.databases.mailboxes.path;
  const list =
    listPath === undefined
      ? undefined
      : openMailboxList(await readMailboxListFile(view, listPath), listPath, server.configPath, findings);
  const { tasks, excluded } = joinServerMailboxes(
    server,
    options.only === undefined ? list : undefined,
    surveyed.places,
    decisions,
    findings,
  );
  const history = new MailboxHistory(source, parents, tasks);
  const counts = { total: tasks.length, changed: 0, unchanged: 0, new: 0, gone: 0, renamed: 0 };
  let messagesToReadAtMost = 0;
  for (const task of tasks) {
    const befores = await history.before(task);
    if (befores.some((entry) => whyMailboxChanged(task, entry, decisions) === undefined)) counts.unchanged++;
    else {
      counts[befores.length === 0 ? "new" : "changed"]++;
      if (decisions.excludes(task)) continue;
      const known = decisions.scrub(task.name) ? 0 : (befores[0]?.messages ?? 0);
      messagesToReadAtMost += Math.max(0, recordCount(task.place) - known);
    }
  }
  counts.gone = history.goneCount;
  counts.renamed = history.renamedCount;
  await history.close();
  return {
    server: name,
    parent: parents.backup?.backup,
    roots: surveyed.roots.map((root) => ({
      kind: root.kind,
      name: toText(root.name),
      path: toText(root.path),
      readFrom: toText(root.realPath),
    })),
    mailboxes: counts,
    messagesToReadAtMost,
    ...surveyed.result,
    excluded: excluded.map(({ name }) => toText(name)),
  };
}

/** 0 where there is no index that can be read. */
function recordCount({ directories }: MailboxPlace): number {
  for (const { realPath } of directories) {
    try {
      const file = SourceFile.open(joinPath(realPath, "cyrus.index" as typeof realPath));
      if (file === undefined) continue;
      try {
        return parseIndexHeader(file.read(0, MAX_HEADER_BYTES)).recordCount;
      } finally {
        file.close();
      }
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
    }
  }
  return 0;
}
