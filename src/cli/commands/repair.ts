import { resolve } from "node:path";
import { fromText } from "../../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError } from "../../base/errors.ts";
import { silentLogger } from "../../base/log.ts";
import { keepMemorySmall } from "../../base/posix-memory.ts";
import { runCheck } from "../../check/run.ts";
import { assembleMessage } from "../../chunker/assemble.ts";
import { listDamaged, removeDamaged } from "../../repair/empty-damaged.ts";
import type { RepairResult } from "../../repair/options.ts";
import { runRepair } from "../../repair/run.ts";
import { requireNoHold } from "../../retention/prune/holds.ts";
import { parseMapping, SourceView } from "../../source/view.ts";
import type { Repository } from "../../store/repository.ts";
import { collect, example, type Register } from "../command.ts";
import { openStored } from "../compose.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, humanBytes, humanCount } from "../humanise.ts";
import type { Output } from "../output.ts";
import { askPassword, givenSecret } from "../password.ts";
import type { Session } from "../session.ts";

interface Options {
  readonly from?: string;
  readonly fromPasswordFile?: string;
  readonly root?: string;
  readonly map?: readonly string[];
  readonly readData?: boolean;
  readonly emptyDamaged?: boolean;
  readonly dryRun?: boolean;
}

const SHOWN = 50;

export const registerRepair: Register = (program, act) => {
  const command = program
    .command("repair")
    .description(
      "make a damaged repository whole again: from what is left, another repository, or the server's files",
    )
    .option("--from <place>", "another repository with some of the same mail")
    .option("--from-password-file <file>", "its password, where it is another one")
    .option(
      "--root <dir>",
      "take again what is still at the server, whose paths are looked up below DIR (/: this machine)",
    )
    .option("--map <from=to>", "one path of the server lies elsewhere; may be given several times", collect)
    .option("--no-read-data", "look for damage in the structure alone")
    .option("--empty-damaged", "delete what earlier repairs have put below damaged/, and do nothing else")
    .option("-n, --dry-run", "only say what would be done")
    .addHelpText(
      "after",
      `
Reads all data first, as check --read-data does. What is lost for good is cut out of the backups that had it, with a finding for
each: the backup gets a new id, the old one can be brought back by undelete. Damaged packs are kept below damaged/.
${example(
  "cyrvault repair --repo /backup/cyrus --dry-run",
  "cyrvault repair --repo /backup/cyrus --from /mnt/copy --root /",
  "cyrvault repair --repo /backup/cyrus --empty-damaged",
)}`,
    );
  act<Options>(command, async (session, _args, given) => {
    keepMemorySmall();
    const { clock, progress, log, signal, output, json } = session;
    const { dryRun = false, readData = true } = given;
    if (given.emptyDamaged === true) return await emptyDamaged(session, given);
    const spool =
      given.root === undefined && given.map === undefined
        ? undefined
        : new SourceView(fromText(resolve(given.root ?? "/")), (given.map ?? []).map(parseMapping));
    return await session.withRepository(dryRun ? "read" : "write", async (repository) => {
      const found = await session.withProgress(() =>
        runCheck(
          { readDataPercent: readData ? 100 : 0 },
          // A plan writes nothing, not even what was verified: no reason for a warning.
          {
            repository,
            assemble: assembleMessage,
            clock,
            progress,
            log: dryRun ? silentLogger : log,
            signal,
          },
        ),
      );
      if (found.errorsTotal === 0) {
        if (json) await output.object({ healthy: true, dryRun });
        else if (readData) await output.text("Nothing is damaged: there is nothing to repair.");
        else await output.text("Nothing is damaged as far as was looked: the data itself was not read.");
        return undefined;
      }
      if (found.errors.some(({ code }) => code === "IO"))
        throw new CyrvaultError(
          "IO",
          "the disk cannot be read everywhere: it is not the place for a repair",
          {
            hint: "copy what can be read to a sound disk (ddrescue), and repair the copy",
          },
        );
      if (!dryRun) await refuseHold(session, repository);
      const result = await withOther(session, given, (other) =>
        session.withProgress(() =>
          runRepair(
            { damagedFiles: found.damagedFiles, dryRun },
            { repository, other, spool, clock, progress, log, signal },
          ),
        ),
      );
      if (json) await output.object({ healthy: false, errors: found.errorsTotal, ...result });
      else await printResult(output, result);
      if (result.kept.length > 0) return EXIT.failed;
      return result.lostTotal > 0 ? EXIT.incomplete : undefined;
    });
  });
};

async function emptyDamaged(session: Session, { from, root, dryRun = false }: Options): Promise<undefined> {
  if (from !== undefined || root !== undefined)
    throw new CyrvaultError(
      "USAGE",
      "--empty-damaged repairs nothing: --from and --root say nothing with it",
    );
  const { output, json } = session;
  await session.withRepository(dryRun ? "read" : "write", async (repository) => {
    const files = await listDamaged(repository.backend);
    if (!dryRun) {
      await refuseHold(session, repository);
      repository.requireWritable();
      await removeDamaged(repository.backend, files);
    }
    if (json) return await output.object({ dryRun, files });
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files) await output.text(`  ${file.name} ${humanBytes(file.bytes)}`);
    const what = `${counted(files.length, "damaged file")}, ${humanBytes(bytes)}`;
    await output.text(dryRun ? `${what} would be deleted.` : `${what} deleted.`);
  });
  return undefined;
}

/** Who copies the repository must find its packs where they were. One that cannot be read is among what is repaired. */
async function refuseHold({ clock }: Session, repository: Repository): Promise<void> {
  try {
    await requireNoHold(repository, clock.nowMs());
  } catch (error) {
    if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
  }
}

async function withOther<T>(
  session: Session,
  { from, fromPasswordFile }: Options,
  use: (other: Repository | undefined) => Promise<T>,
): Promise<T> {
  if (from === undefined) return await use(undefined);
  const { terminal, clock, log } = session;
  const own =
    fromPasswordFile === undefined
      ? undefined
      : givenSecret({ passwordFile: fromPasswordFile, keyFile: undefined }, {});
  const { repository, close } = await openStored(from, {
    access: "read",
    secret: own,
    ask: async () => session.secret ?? (await askPassword(terminal)),
    clock,
    log,
  });
  try {
    return await use(repository);
  } finally {
    await close();
  }
}

async function printResult(output: Output, result: RepairResult): Promise<void> {
  const { dryRun, saved, taken, backups, lost, lostTotal, records, setAside, kept, rebuilt } = result;
  const lines = [dryRun ? "What would be done (nothing is changed now):" : "Done:"];
  for (const { name, what } of records) lines.push(`  ${name}: ${what}`);
  if (saved.objects > 0)
    lines.push(`  saved from damaged packs: ${counted(saved.objects, "object")}, ${humanBytes(saved.bytes)}`);
  if (taken.fromRepository > 0)
    lines.push(`  taken from the other repository: ${counted(taken.fromRepository, "object")}`);
  if (taken.fromSpool > 0)
    lines.push(`  taken from the server's files: ${counted(taken.fromSpool, "object")}`);
  for (const { backup, became, lost: count, messagesRebuilt } of backups) {
    const rebuilt =
      messagesRebuilt === 0
        ? ""
        : `, the list of ${counted(messagesRebuilt, "message")} is made again from cyrus.index`;
    const then = became === undefined ? "" : `; ${became} stands for it now`;
    lines.push(`  ${backup} has lost ${counted(count, "thing")}${rebuilt}${then}`);
  }
  for (const name of setAside) lines.push(`  ${name} is set aside below damaged/`);
  for (const { name, what } of kept) lines.push(`  ${name} stays: ${what}`);
  if (rebuilt) lines.push("  segments and the object index are made anew");
  if (lines.length === 1) lines.push("  nothing: what is needed is there");
  await output.text(lines.join("\n"));
  if (lostTotal === 0) {
    await output.text(dryRun ? "Nothing would be lost." : "Nothing is lost.");
    return;
  }
  await output.text(`Lost for good: ${counted(lostTotal, "thing")}.`);
  for (const { backup, path, mailbox, uid, message } of lost.slice(0, SHOWN)) {
    const where =
      mailbox === undefined ? path : `${mailbox}${uid === undefined ? `, ${path}` : `, UID ${uid}`}`;
    await output.text(`  ${backup}: ${where}: ${message}`);
  }
  if (lostTotal > SHOWN) await output.text(`  and ${humanCount(lostTotal - SHOWN)} more (--json shows 1000)`);
  if (dryRun) await output.text("With --from or --root some of it may be found elsewhere.");
}
