import { CyrvaultError } from "../../base/errors.ts";
import { keepMemorySmall } from "../../base/posix-memory.ts";
import { runCheck } from "../../check/run.ts";
import { assembleMessage } from "../../chunker/assemble.ts";
import { example, type Register } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, humanBytes, humanDuration } from "../humanise.ts";

interface Options {
  readonly readData?: string | true;
}

export const registerCheck: Register = (program, act) => {
  const command = program
    .command("check")
    .description(
      "whether the repository is consistent: everything that a backup needs is there and can be read",
    )
    .option("--read-data [percent]", "read the data itself again, or such a share of it, chosen at random")
    .addHelpText(
      "after",
      example("cyrvault check --repo /backup/cyrus", "cyrvault check --repo /backup/cyrus --read-data=10%"),
    );
  act<Options>(command, async (session, _args, { readData }) => {
    keepMemorySmall();
    const readDataPercent = parsePercent(readData);
    const { clock, progress, signal, output } = session;
    return await session.withRepository("read", async (repository) => {
      const result = await session.withProgress(() =>
        runCheck({ readDataPercent }, { repository, assemble: assembleMessage, clock, progress, signal }),
      );
      const { errors, errorsTotal, packs, objects, backups, bytesRead, seconds } = result;
      if (session.json) await output.object(result);
      else {
        for (const { code, path, message } of errors)
          output.note(`${code}${path === undefined ? "" : ` ${path}`}: ${message}`);
        if (errorsTotal > errors.length) output.note(`and ${errorsTotal - errors.length} more`);
        const read = bytesRead === 0 ? "" : `, ${humanBytes(bytesRead)} read again`;
        await output.text(
          `${counted(backups, "backup")}, ${counted(packs, "pack")}, ${counted(objects, "object")}${read} in ${humanDuration(seconds * 1000)}: ${errorsTotal === 0 ? "no errors" : counted(errorsTotal, "error")}.`,
        );
      }
      return errorsTotal > 0 ? EXIT.failed : undefined;
    });
  });
};

/** `--read-data`, `--read-data=10`, `--read-data=2.5%`. @throws {CyrvaultError} `USAGE`. */
export function parsePercent(text: string | true | undefined): number {
  if (text === undefined) return 0;
  if (text === true) return 100;
  const percent = /^\d{1,3}(?:\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (percent > 0 && percent <= 100) return percent;
  throw new CyrvaultError("USAGE", `--read-data=${text}: not a percentage`, {
    hint: "write --read-data=10%",
  });
}
