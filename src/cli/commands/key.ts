import { hostname } from "node:os";
import type { Command } from "commander";
import { type KeyEntry, type Keyring, shortId } from "../../keys/keyring.ts";
import type { WrappingSecret } from "../../store/secret.ts";
import { isHere } from "../../store/stale-run.ts";
import { type Act, example, type Register } from "../command.ts";
import { counted, humanTime } from "../humanise.ts";
import { askNewPassword, givenNewSecret } from "../password.ts";
import type { Session } from "../session.ts";

interface NewSecretOptions {
  readonly newPasswordFile?: string;
  readonly newKeyFile?: string;
}

interface AddOptions extends NewSecretOptions {
  readonly writeOnly?: boolean;
}

interface DryRunOption {
  readonly dryRun?: boolean;
}

export const registerKey: Register = (program, act) => {
  const key = program
    .command("key")
    .description("the passwords and key files that open a repository: list, add, remove, change, print")
    .addHelpText(
      "after",
      `
Each key opens the whole repository. Whoever had one, and a copy of keys/, can go on reading: removing a key takes
nothing back.
${example("cyrvault key list --repo /backup/cyrus", "cyrvault key add --repo /backup/cyrus --new-key-file /etc/cyrvault.key")}`,
    );
  registerList(key, act);
  registerAdd(key, act);
  registerRemove(key, act);
  registerPasswd(key, act);
  registerExport(key, act);
};

function registerList(key: Command, act: Act): void {
  const command = key
    .command("list")
    .description("the keys that there are, the oldest first")
    .addHelpText("after", example("cyrvault key list --repo /backup/cyrus"));
  act<object>(command, async (session) => {
    const { json, output } = session;
    const keys = await session.withKeys("read", (keyring) => keyring.list());
    const table = output.table([
      { title: "KEY" },
      { title: "CREATED" },
      { title: "OPENS WITH" },
      { title: "" },
    ]);
    for (const entry of keys) {
      if (json) await output.object(shown(entry));
      else {
        const { id, created, opensWith = "nothing", inUse, damage, isWriteOnly } = entry;
        const time = created === undefined ? "" : humanTime(Date.parse(created));
        await table.row(
          shortId(id),
          time,
          opensWith,
          damage ?? (inUse ? "in use" : isWriteOnly ? "write only" : ""),
        );
      }
    }
    await table.end();
    return undefined;
  });
}

function registerAdd(key: Command, act: Act): void {
  const command = withNewSecret(key.command("add"))
    .description("a further password or key file, beside those that there are")
    .option("--write-only", "for a mail server: it can store backups, and not read, forget or prune them")
    .addHelpText(
      "after",
      example(
        "cyrvault key add --repo /backup/cyrus --new-password-file /etc/second.password",
        "cyrvault key add --repo /backup/cyrus --new-key-file /etc/cyrvault.key",
      ),
    );
  act<AddOptions>(command, async (session, _args, options) => {
    const { json, output, clock } = session;
    const { writeOnly = false } = options;
    const { id, isNew } = await session.withKeys("write", async (keyring) => {
      const secret = await newSecret(session, options);
      const nowMs = clock.nowMs();
      if (!writeOnly) return await keyring.add(secret, { nowMs });
      return await keyring.addWriteOnly(secret, { nowMs, here: isHere(hostname()) });
    });
    if (json) await output.object({ key: id, added: isNew, writeOnly });
    else if (isNew) await output.text(`Added key ${shortId(id)}.`);
    else await output.text(`Key ${shortId(id)} opens with this already: nothing to add.`);
    return undefined;
  });
}

function registerRemove(key: Command, act: Act): void {
  const command = withDryRun(key.command("remove <key...>"))
    .description("keys that shall open nothing any more, by the beginning of their ids; never the one in use")
    .addHelpText("after", example("cyrvault key remove --repo /backup/cyrus 3f0a12cd --dry-run"));
  act<DryRunOption>(command, async (session, prefixes, { dryRun = false }) => {
    const { json, output } = session;
    await session.withKeys(dryRun ? "read" : "write", async (keyring) => {
      const plan = await keyring.planRemoval(prefixes);
      if (!dryRun) await keyring.remove(plan);
      const { going, staying } = plan;
      if (json) {
        await output.object({ dryRun, removed: going.map(shown), kept: staying.map(shown) });
        return;
      }
      const verb = dryRun ? "Would remove" : "Removed";
      for (const { id } of going) await output.text(`${verb} key ${shortId(id)}.`);
      output.note(`${counted(staying.length, "key")} left.`);
    });
    return undefined;
  });
}

function registerPasswd(key: Command, act: Act): void {
  const command = withDryRun(withNewSecret(key.command("passwd")))
    .description("another password or key file in the place of the one in use")
    .addHelpText(
      "after",
      `
The new key is there, and durable, before the old one goes.
${example("cyrvault key passwd --repo /backup/cyrus")}`,
    );
  act<NewSecretOptions & DryRunOption>(command, async (session, _args, options) => {
    const { json, output, clock } = session;
    const { dryRun = false } = options;
    await session.withKeys(dryRun ? "read" : "write", async (keyring: Keyring) => {
      const plan = keyring.planReplacement();
      const { old } = plan;
      if (dryRun) {
        if (json) await output.object({ dryRun, replaced: old, key: null });
        else await output.text(`Would replace key ${shortId(old)}.`);
        return;
      }
      const secret = await newSecret(session, options);
      const { id } = await keyring.replace(plan, secret, { nowMs: clock.nowMs() });
      if (json) await output.object({ dryRun, replaced: old, key: id });
      else await output.text(`Replaced key ${shortId(old)} by ${shortId(id)}.`);
    });
    return undefined;
  });
}

function registerExport(key: Command, act: Act): void {
  const command = key
    .command("export")
    .description("a key to print on paper: it opens the repository even when all passwords are lost")
    .addHelpText(
      "after",
      `
Whoever has this text can read everything. It comes to standard output, to be printed and not to be kept in a file. To use it,
type it into a file (each line has a checksum, so a mistake is named) and give that as --key-file; then
\`cyrvault key add\` makes a new password.
${example("cyrvault key export --repo /backup/cyrus | lpr")}`,
    );
  act<object>(command, async (session) => {
    const { json, output, location } = session;
    await session.withKeys("read", async (keyring) => {
      const lines = keyring.paper();
      if (json) await output.object({ repository: keyring.config.id, lines });
      else {
        await output.text(lines.join("\n"));
        output.note(
          "Whoever has these lines can read every backup. To use them: type them into a file, then\n" +
            `cyrvault key add --repo ${location} --key-file THAT-FILE`,
        );
      }
    });
    return undefined;
  });
}

function withNewSecret(command: Command): Command {
  return command
    .option(
      "--new-password-file <file>",
      "the new password is in a file (or $CYRVAULT_NEW_PASSWORD_FILE, $CYRVAULT_NEW_PASSWORD)",
    )
    .option(
      "--new-key-file <file>",
      "a file of random bytes, which is made where there is none (or $CYRVAULT_NEW_KEY_FILE)",
    );
}

function withDryRun(command: Command): Command {
  return command.option("-n, --dry-run", "only say what would go");
}

async function newSecret(session: Session, options: NewSecretOptions): Promise<WrappingSecret> {
  const { terminal, output } = session;
  const source = { passwordFile: options.newPasswordFile, keyFile: options.newKeyFile };
  const names = ["--new-password-file", "--new-key-file"] as const;
  const given = await givenNewSecret(source, terminal.env, "CYRVAULT_NEW", names);
  if (given?.madeFile !== undefined)
    output.note(`Made the key file ${given.madeFile}: keep a copy elsewhere.`);
  if (given !== undefined) return given.secret;
  const hint = "use --new-password-file FILE, --new-key-file FILE or $CYRVAULT_NEW_PASSWORD";
  return await askNewPassword(terminal, "New password", hint);
}

function shown({ id, created, opensWith, isWriteOnly, inUse, damage }: KeyEntry) {
  const writeOnly = isWriteOnly ?? null;
  return {
    writeOnly,
    key: id,
    created: created ?? null,
    opensWith: opensWith ?? null,
    inUse,
    damage: damage ?? null,
  };
}
