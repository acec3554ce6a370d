/**
 * docs/operating.md, tried word for word: each block of commands is run as it stands, in its order, on a machine that is
 * a directory. Nothing can be frozen or stopped there: that is tried on real file systems and servers elsewhere.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CLI } from "../support/cli.ts";
import { describeWith } from "../support/describe-with.ts";
import { blocksOf, inlineCommands, pageText } from "../support/document.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { TinyServer } from "../unit/backup/tiny-server.ts";

const PAGE = pageText("docs/operating.md");
const SHELL = blocksOf(PAGE).filter(({ language }) => language === "sh");
const TABLE = inlineCommands(PAGE.slice(PAGE.indexOf("## Restoring"), PAGE.indexOf("### An archive"))).filter(
  (command) => /^cyrvault (restore|cat) [l@]/.test(command) && !command.includes("…"),
);
/** Of the machine's paths, those that the commands write to or read themselves. */
const PLACES =
  /(?<![\w.@/-])\/(?=(?:backup|copy|mnt|restored|tmp\/look|usr\/local\/sbin|var\/lib\/cyrvault|etc\/cyrvault\.password|dev\/nst0|\.cyrvault)\b)/g;
const missing = ["rsync", "jq", "tar"].filter((program) => spawnSync("which", [program]).status !== 0);

let dir: TempDir;
let machine: string;
let env: Record<string, string | undefined>;

/** Programs of the machine. */
const PROGRAMS: Readonly<Record<string, string>> = {
  // What it reads of the machine lies below the directory that plays it.
  cyrvault: `reads= views=
for word; do
  shift
  case "$word" in --root|--target|--config) reads=given;; --snapshot|--quiesce|--mode) views=next; continue;; esac
  if [ "$views" = next ]; then views=dropped; else set -- "$@" "$word"; fi
done
case " $* " in *" backup "*) [ "$reads" ] || set -- "$@" --root "$MACHINE/root";; esac
exec "$NODE" "$CLI" "$@"`,
  ssh: `shift; exec sh -c "$*"`,
};

beforeAll(() => {
  dir = tempDir();
  machine = dir.in("machine");
  for (const place of ["root", "bin", "backup", "copy/cyrus", "mnt", "restored", "dev", "etc", "tmp"])
    mkdirSync(`${machine}/${place}`, { recursive: true });
  for (const place of ["usr/local/sbin", "var/lib/cyrvault"])
    mkdirSync(`${machine}/${place}`, { recursive: true });
  for (const [name, text] of Object.entries(PROGRAMS)) {
    writeFileSync(`${machine}/bin/${name}`, `#!/bin/sh\n${text}\n`);
    chmodSync(`${machine}/bin/${name}`, 0o755);
  }
  const server = new TinyServer(`${machine}/root`);
  const conf = readFileSync(server.path("etc/imapd.conf"), "utf8");
  server.file("etc/imapd.conf", conf.replace("servername: tiny", "servername: mail"));
  server.add("user.anna", ["one", "two", "three"]);
  server.add(
    "user.anna.Work",
    Array.from({ length: 50 }, (_, i) => `work ${i}`),
  );
  const { CYRVAULT_PASSWORD: _, CYRVAULT_KEY_FILE: __, ...own } = process.env;
  env = {
    ...own,
    MACHINE: machine,
    CLI,
    NODE: process.execPath,
    PATH: `${machine}/bin:${process.env["PATH"]}`,
    HOME: machine,
    CYRVAULT_REPO: `${machine}/backup/cyrus`,
    CYRVAULT_PASSWORD_FILE: `${machine}/etc/cyrvault.password`,
    CYRVAULT_CACHE_DIR: `${machine}/cache`,
  };
});

afterAll(() => dir.remove());

/** The same command where the machine is a directory, and the backups are of today. */
function here(text: string): string {
  return text
    .replace(PLACES, `${machine}/`)
    .replace(/--target \/(?=\s|$)/g, `--target ${machine}/new`)
    .replace(/(?<=\s)@(2d|2026-11-20)(?=\s)/g, "latest");
}

function shell(text: string): void {
  const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", here(text)], {
    env,
    cwd: machine,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`exit code ${status}:\n${here(text)}\n${stderr}\n${stdout}`);
}

describeWith(
  missing.length === 0 ? undefined : `needs ${missing.join(", ")}`,
  "needs the programs that the page uses",
  "docs/operating.md",
  () => {
    test.each(SHELL)("line $line", ({ text }) => {
      if (!text.startsWith("#!")) return shell(text);
      // A script: it is put where the page says, and run from there.
      const path = `${machine}/usr/local/sbin/cyrvault-night`;
      writeFileSync(path, here(text));
      chmodSync(path, 0o755);
      shell(path);
      expect(readFileSync(`${machine}/var/lib/cyrvault/status.json`, "utf8")).toContain('"exitCode":0');
    });

    // Each row is for another day: its target is empty.
    test.each(TABLE)("%s", (command) => {
      for (const place of ["new", "restored"])
        rmSync(`${machine}/${place}`, { recursive: true, force: true });
      shell(command);
      if (command.includes(" cat "))
        return expect(readFileSync(`${machine}/42.eml`, "latin1")).toContain("work 41");
      const target = command.includes("/restored") ? "restored" : "new";
      const files = readdirSync(`${machine}/${target}`, { recursive: true }).join("\n");
      const isSpool = !command.includes("configdirectory");
      expect(/^var\/spool\/cyrus\/.*\/42\.$/m.test(files)).toBe(isSpool);
    });

    test("has done what it says", () => {
      expect(SHELL.length).toBeGreaterThan(8);
      expect(TABLE.length).toBeGreaterThanOrEqual(6);
      expect(readdirSync(`${machine}/tmp/look`, { recursive: true }).join(" ")).toMatch(/\b1\./);
      expect(readdirSync(`${machine}/copy/cyrus/packs`).length).toBeGreaterThan(0);
    });
  },
);
