/**
 * The site's own `ctl_mboxlist`, for mailbox lists in an engine that we do not read (twom, Berkeley, lmdb): it is
 * run on a copy, as the user who owns the list, because Cyrus's tools write to whatever they open.
 */
import { execFileSync } from "node:child_process";
import { accessSync, chmodSync, chownSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ByteString, toText } from "../base/byte-string.ts";
import { ioError } from "../base/io-error.ts";

/** Where distributions and a build from source put it. */
export const CTL_MBOXLIST_PATHS: readonly string[] = [
  "/usr/lib/cyrus/bin/ctl_mboxlist",
  "/usr/lib/cyrus-imapd/ctl_mboxlist",
  "/usr/libexec/cyrus-imapd/ctl_mboxlist",
  "/usr/cyrus/libexec/ctl_mboxlist",
  "/usr/cyrus/sbin/ctl_mboxlist",
  "/usr/cyrus/bin/ctl_mboxlist",
  "/usr/sbin/ctl_mboxlist",
  "/usr/local/cyrus/sbin/ctl_mboxlist",
  "/usr/local/sbin/ctl_mboxlist",
];

const TIMEOUT_MS = 300_000;
const OUTPUT_BYTES_MAX = 1024 * 1024 * 1024;

export type ToolAnswer =
  | { readonly text: Buffer; readonly tool: string }
  /** Why there is no text. */
  | { readonly problem: string };

export function dumpMailboxList(input: {
  readonly list: Uint8Array;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** As the running system has it: the tool reads it itself. */
  readonly configPath: ByteString;
  readonly tools?: readonly string[];
}): ToolAnswer {
  const tool = (input.tools ?? CTL_MBOXLIST_PATHS).find(isExecutable);
  if (tool === undefined) return { problem: "there is no ctl_mboxlist on this machine" };
  const directory = mkdtempSync(join(tmpdir(), "cyrvault-list-"));
  try {
    const copy = join(directory, "mailboxes.db");
    writeFileSync(copy, input.list, { mode: 0o600 });
    const { uid, gid } = input.owner;
    const asOwner = process.getuid?.() === 0 && uid !== 0;
    if (asOwner) for (const path of [directory, copy]) chownSync(path, uid, gid);
    chmodSync(directory, 0o700);
    const text = execFileSync(tool, ["-C", toText(input.configPath), "-d", "-f", copy], {
      timeout: TIMEOUT_MS,
      maxBuffer: OUTPUT_BYTES_MAX,
      stdio: ["ignore", "pipe", "pipe"],
      cwd: directory,
      ...(asOwner ? { uid, gid } : {}),
    });
    return text.length === 0 ? { problem: `${tool} printed nothing` } : { text, tool };
  } catch (error) {
    return { problem: `${tool} failed: ${reasonOf(error)}` };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What the tool said last, or why it could not be run. */
function reasonOf(error: unknown): string {
  const { stderr } = error as { stderr?: Buffer };
  const said = stderr?.toString("utf8").trim().split("\n").at(-1);
  return said ? said : ioError("run", error).message;
}
