import { CyrvaultError } from "../../base/errors.ts";
import { example, type Register } from "../command.ts";
import { initStored } from "../compose.ts";
import { askNewPassword, givenNewSecret } from "../password.ts";
import type { Session } from "../session.ts";

interface Options {
  readonly encryption: boolean;
}

export const registerInit: Register = (program, act) => {
  const command = program
    .command("init")
    .description("make a new, empty repository")
    .option("--no-encryption", "without a password: whoever can read the repository can read the mail")
    .addHelpText(
      "after",
      `
Without the password or key file nothing can be restored, by anybody: print a paper key (cyrvault key export).
--key-file makes the file where there is none.
${example("cyrvault init --repo /backup/cyrus --password-file /etc/cyrvault.password")}`,
    );
  act<Options>(command, async (session, _args, { encryption }) => {
    const { location } = session;
    if (!encryption && session.isSecretGiven) {
      throw new CyrvaultError("USAGE", "a password was given together with --no-encryption", {
        hint: "leave one of them out; $CYRVAULT_PASSWORD, $CYRVAULT_PASSWORD_FILE and $CYRVAULT_KEY_FILE count too",
      });
    }
    const secret = encryption ? await newSecret(session) : undefined;
    const { id, encrypted, description } = await initStored(location, secret, session.clock, session.log);
    await session.forgetPlace(description);
    if (session.json) await session.output.object({ repository: id, encrypted });
    else {
      const kind = encrypted ? "encrypted" : "not encrypted";
      await session.output.text(`Made repository ${id.slice(0, 8)} (${kind}) in ${description}.`);
      if (encrypted)
        session.output.note(
          "Without its password or key file nothing comes back: not by us, not by anybody. Print a key on paper now and put it\n" +
            "where it does not burn with the server: cyrvault key export | lpr",
        );
    }
    return undefined;
  });
};

async function newSecret({ secretSource, terminal, output }: Session) {
  const options = ["--password-file", "--key-file"] as const;
  const given = await givenNewSecret(secretSource, terminal.env, "CYRVAULT", options);
  if (given?.madeFile !== undefined)
    output.note(`Made the key file ${given.madeFile}: keep a copy elsewhere.`);
  if (given !== undefined) return given.secret;
  return await askNewPassword(
    terminal,
    "Password for the new repository (without it nothing can be restored)",
    "use --password-file FILE, --key-file FILE, $CYRVAULT_PASSWORD_FILE or $CYRVAULT_PASSWORD; or say --no-encryption",
  );
}
