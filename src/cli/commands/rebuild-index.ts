import { CyrvaultError } from "../../base/errors.ts";
import { rebuildIndex } from "../../store/rebuild-index.ts";
import { example, type Register } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { counted } from "../humanise.ts";

interface Options {
  readonly from: string;
}

export const registerRebuildIndex: Register = (program, act) => {
  const command = program
    .command("rebuild-index")
    .description("make the look-up tables of a repository anew")
    .option("--from <source>", "packs: from the data itself; segments: the local object index only", "packs")
    .addHelpText("after", example("cyrvault rebuild-index --repo /backup/cyrus"));
  act<Options>(command, async (session, _args, { from }) => {
    if (from !== "packs" && from !== "segments")
      throw new CyrvaultError("USAGE", `--from ${from}: it is packs or segments`);
    const { progress, clock, output } = session;
    return await session.withRepository("write", async (repository) => {
      const rebuilt = await session.withProgress(() => {
        progress.beginPhase("reading", clock.monotonicMs());
        let before = 0;
        let phase = "";
        return rebuildIndex(repository, {
          from,
          onProgress: (now) => {
            if (now.phase !== phase) {
              phase = now.phase;
              before = 0;
              progress.beginPhase(phase, clock.monotonicMs(), undefined, "objects");
            }
            progress.add({ items: now.objects - before }, clock.monotonicMs());
            before = now.objects;
          },
        });
      });
      const { packs, objects, unreadable, index } = rebuilt;
      for (const pack of unreadable)
        session.log.error("a pack cannot be read: what it holds cannot be found", { pack });
      if (session.json) await output.object({ packs, objects, unreadable, index });
      else await output.text(`Made anew from ${counted(packs, "pack")}: ${counted(objects, "object")}.`);
      return unreadable.length > 0 ? EXIT.failed : undefined;
    });
  });
};
