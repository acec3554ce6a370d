/** Where the password comes from: an option, the environment, or a person at a terminal. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { CyrvaultError } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import type { Terminal } from "./terminal.ts";

/** Text, or the bytes of a key file that is no text. */
export type Password = string | Uint8Array;

const FILE_BYTES_MAX = 65_536;

/** What was given without asking anybody; undefined when nothing was. The option comes before the environment. */
export function givenPassword(file: string | undefined, env: Terminal["env"]): Password | undefined {
  if (file !== undefined) return readPasswordFile(file);
  const password = env["CYRVAULT_PASSWORD"];
  if (password !== undefined) {
    if (password === "") throw new CyrvaultError("USAGE", "$CYRVAULT_PASSWORD is empty");
    return password;
  }
  const named = env["CYRVAULT_PASSWORD_FILE"];
  return named === undefined ? undefined : readPasswordFile(named);
}

/** For an encrypted repository. @throws {CyrvaultError} `PASSWORD_NEEDED` when nobody can be asked. */
export async function askPassword(terminal: Terminal): Promise<Password> {
  if (!terminal.canAsk) {
    throw new CyrvaultError("PASSWORD_NEEDED", "the repository is encrypted and no password was given", {
      hint: "use --password-file FILE, $CYRVAULT_PASSWORD_FILE or $CYRVAULT_PASSWORD",
    });
  }
  const password = await terminal.askSecret("Password of the repository: ");
  if (password === "") throw new CyrvaultError("USAGE", "the password is empty");
  return password;
}

/** For a new repository: asks twice. */
export async function askNewPassword(terminal: Terminal): Promise<Password> {
  if (!terminal.canAsk) {
    throw new CyrvaultError("USAGE", "a new repository needs a password, and none was given", {
      hint: "use --password-file FILE, $CYRVAULT_PASSWORD_FILE or $CYRVAULT_PASSWORD; or say --no-encryption",
    });
  }
  const password = await terminal.askSecret(
    "Password for the new repository (without it nothing can be restored): ",
  );
  if (password === "") throw new CyrvaultError("USAGE", "the password is empty");
  if ((await terminal.askSecret("The same once more: ")) !== password)
    throw new CyrvaultError("USAGE", "the two passwords differ");
  return password;
}

/** The whole file but for one line end at its end. */
function readPasswordFile(path: string): Password {
  const bytes = readBounded(path);
  let end = bytes.length;
  if (end > 0 && bytes[end - 1] === 0x0a) end--;
  if (end < bytes.length && end > 0 && bytes[end - 1] === 0x0d) end--;
  const password = bytes.subarray(0, end);
  if (password.length === 0) throw new CyrvaultError("USAGE", `the password file ${path} is empty`);
  const text = password.toString("utf8");
  return Buffer.from(text, "utf8").equals(password) ? text : password;
}

function readBounded(path: string): Buffer {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    if (fstatSync(file).isDirectory())
      throw new CyrvaultError("USAGE", `the password file ${path} is a directory`);
    const buffer = Buffer.alloc(FILE_BYTES_MAX + 1);
    let length = 0;
    for (;;) {
      const count = readSync(file, buffer, length, buffer.length - length, null);
      length += count;
      if (length > FILE_BYTES_MAX)
        throw new CyrvaultError("USAGE", `the password file ${path} is larger than ${FILE_BYTES_MAX} bytes`);
      if (count === 0) return buffer.subarray(0, length);
    }
  } catch (cause) {
    throw ioError(`cannot read the password file ${path}`, cause);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
