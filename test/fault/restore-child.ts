/** One restore in a process of its own: REPOSITORY BACKUP TARGET [OVERWRITE]. Says `restoring`, then `done` or the error's code. */
import { openBackend } from "../../src/backend/open-backend.ts";
import { fromText } from "../../src/base/byte-string.ts";
import { systemClock } from "../../src/base/clock.ts";
import { isCyrvaultError } from "../../src/base/errors.ts";
import { Progress } from "../../src/base/progress.ts";
import { assembleMessage } from "../../src/chunker/assemble.ts";
import { decodeRoot } from "../../src/manifest/root.ts";
import type { RestoreOptions } from "../../src/restore/options.ts";
import { planRestore } from "../../src/restore/plan.ts";
import { runRestore } from "../../src/restore/run.ts";
import { openRepository } from "../../src/store/repository.ts";

const [repositoryPath = "", backup = "", target = "", overwrite] = process.argv.slice(2);
const backend = await openBackend(repositoryPath);
const repository = await openRepository(backend, { assemble: assembleMessage });
const root = decodeRoot(await repository.readBackup(backup));
try {
  const options: RestoreOptions = {
    target: fromText(target),
    only: [],
    users: [],
    mailboxes: [],
    uids: undefined,
    mappings: [],
    owner: undefined,
    overwrite: overwrite === "never" || overwrite === "if-different" ? overwrite : undefined,
  };
  const prepared = await planRestore(options, root, repository.objects);
  process.stdout.write("restoring\n");
  const source = repository.objects;
  const { incomplete } = await runRestore(prepared, { source, clock: systemClock, progress: new Progress() });
  process.stdout.write(incomplete ? "incomplete\n" : "done\n");
} catch (error) {
  if (!isCyrvaultError(error)) throw error;
  process.stdout.write(`${error.code}\n`);
}
await repository.close();
await backend.close();
