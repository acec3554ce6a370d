import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { runBackup } from "../../backup/run.ts";
import type { ByteString } from "../../base/byte-string.ts";
import { assert } from "../../base/errors.ts";
import { runCheck } from "../../check/run.ts";
import { assembleMessage } from "../../chunker/assemble.ts";
import { type DemoSteps, runDemo } from "../../demo/run.ts";
import { readBackupRoot } from "../../inspect/backups.ts";
import { leftOutPaths } from "../../inspect/left-out.ts";
import { planRestore } from "../../restore/plan.ts";
import { runRestore } from "../../restore/run.ts";
import { advanceServer } from "../../sample/advance.ts";
import { generateServer } from "../../sample/generate.ts";
import { SampleServer } from "../../sample/sample-server.ts";
import { example, type Register } from "../command.ts";
import { initStored, type OpenedRepository, openStored } from "../compose.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, humanBytes, humanCount, humanDuration } from "../humanise.ts";
import type { Session } from "../session.ts";
import { backupOptions } from "./backup.ts";
import { restoreOptions } from "./restore.ts";

/** Of the mailboxes: how many see any change in a day. */
const SHARE_A_DAY = 0.3;

export const registerDemo: Register = (program, act) => {
  const command = program
    .command("demo")
    .description("a sample server, two backups, a restore of both, in a temporary directory")
    .addHelpText("after", example("cyrvault demo"));
  act(command, async (session) => {
    const { output, json, clock, signal } = session;
    const say = async (text: string) => {
      if (json) output.note(text);
      else await output.text(text);
    };
    const sum = { backups: [] as string[], compared: 0, differences: 0, checkErrors: 0 };
    for (const layout of LAYOUTS) {
      await say(`\n${LAYOUT_TITLES[layout]}\n`);
      const result = await runDemo({ steps: stepsOf(session, layout), say, clock, signal });
      sum.backups.push(...result.backups);
      sum.compared += result.compared;
      sum.differences += result.differences.length;
      sum.checkErrors += result.checkErrors;
    }
    if (json) await output.object(sum);
    return sum.differences + sum.checkErrors > 0 ? EXIT.failed : undefined;
  });
};

const LAYOUTS = ["uuid", "legacy"] as const;
const LAYOUT_TITLES: Readonly<Record<(typeof LAYOUTS)[number], string>> = {
  uuid: "A server as Cyrus 3.6 lays it out: directories named by uniqueid",
  legacy:
    "A server in the older layout: hashed directories by name, metadata and archived mail on partitions of their own",
};

function stepsOf({ clock, log, progress, signal }: Session, layout: (typeof LAYOUTS)[number]): DemoSteps {
  const password = randomBytes(24).toString("base64");
  let opened: OpenedRepository | undefined;
  const repository = () => {
    assert(opened !== undefined, "the demo opens its repository first");
    return opened.repository;
  };
  return {
    generate: (directory) => {
      const { configPath, roots, counts } = generateServer(directory, { layout });
      const { users, mailboxes, messages, bytes } = counts;
      const summary = `${counted(users, "user")}, ${counted(mailboxes, "mailbox", "mailboxes")}, ${counted(messages, "message")}, ${humanBytes(bytes)} of mail`;
      return { config: configPath, roots, summary };
    },
    advance: (directory) => {
      const server = SampleServer.open(directory);
      const counts = advanceServer(server, { day: server.state.day + 1, share: SHARE_A_DAY });
      const { mailboxesTouched, delivered, flagged, copied, expunged, renamed, deleted } = counts;
      return (
        `${counted(delivered, "message")} delivered, ${counted(flagged, "message")} flagged, ` +
        `${humanCount(copied)} copied, ${humanCount(expunged)} expunged, ` +
        `${counted(renamed, "folder")} renamed, ${humanCount(deleted)} deleted, ` +
        `in ${counted(mailboxesTouched, "mailbox", "mailboxes")}`
      );
    },
    init: async (location) => {
      await initStored(location, password, clock, log);
      const ask = () => Promise.resolve(password);
      opened = await openStored(location, { access: "write", secret: password, ask, clock, log });
    },
    backup: async (config) => {
      const options = { ...backupOptions({ config, root: "/", compression: "auto" }), server: "sample" };
      const context = { repository: repository(), clock, progress, acceptRules: [], signal };
      const { backup, mailboxes, messages, bytes, seconds } = await runBackup(options, context);
      const summary = `${humanCount(mailboxes.new + mailboxes.changed)} of ${counted(mailboxes.total, "mailbox", "mailboxes")} new or changed, ${humanCount(messages.read)} of ${counted(messages.total, "message")} read, ${humanBytes(bytes.source)} at the source, ${humanBytes(bytes.stored)} stored, ${humanDuration(seconds * 1000)}`;
      return { backup, summary };
    },
    restore: async (backup, target) => {
      const source = repository().objects;
      const root = await readBackupRoot(repository(), backup);
      const prepared = await planRestore(restoreOptions({ target }), root, source);
      const { messages, files, bytes, seconds } = await runRestore(prepared, {
        source,
        clock,
        progress,
        signal,
      });
      return `${counted(messages, "message")}, ${counted(files, "other file")}, ${humanBytes(bytes)} in ${humanDuration(seconds * 1000)}`;
    },
    exceptions: async (backup) => {
      const leftOut = new Set<ByteString>();
      const root = await readBackupRoot(repository(), backup);
      for await (const path of leftOutPaths(root, repository().objects)) leftOut.add(path);
      const files = root.roots.filter(({ kind }) => kind === "file");
      return { leftOut, onTheWay: new Set(files.map(({ path }) => dirname(path) as ByteString)) };
    },
    check: async () => {
      const context = { repository: repository(), assemble: assembleMessage, clock, progress, signal };
      const { errorsTotal, packs, objects } = await runCheck({ readDataPercent: 100 }, context);
      const summary = `${counted(packs, "pack")}, ${counted(objects, "object")}, ${counted(errorsTotal, "error")}`;
      return { errors: errorsTotal, summary };
    },
    close: async () => await opened?.close(),
  };
}
