import { CyrvaultError } from "../../base/errors.ts";
import { example, type Register } from "../command.ts";
import { initStored } from "../compose.ts";
import { askNewPassword } from "../password.ts";

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
      example("cyrvault init --repo /backup/cyrus --password-file /etc/cyrvault.password"),
    );
  act<Options>(command, async (session, _args, { encryption }) => {
    const { location, password: given } = session;
    if (!encryption && given !== undefined) {
      throw new CyrvaultError("USAGE", "a password was given together with --no-encryption", {
        hint: "leave one of them out; $CYRVAULT_PASSWORD and $CYRVAULT_PASSWORD_FILE count too",
      });
    }
    const password = encryption ? (given ?? (await askNewPassword(session.terminal))) : undefined;
    const { id, encrypted, description } = await initStored(location, password, session.clock);
    if (session.json) await session.output.object({ repository: id, encrypted });
    else {
      const kind = encrypted ? "encrypted" : "not encrypted";
      await session.output.text(`Made repository ${id.slice(0, 8)} (${kind}) in ${description}.`);
      if (encrypted)
        session.output.note("Keep the password in a second place: without it nothing can be restored.");
    }
    return undefined;
  });
};
