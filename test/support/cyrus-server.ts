/**
 * A real Cyrus IMAP server for tests: its own directory, its own loopback ports, as Debian's packages install it.
 *
 * Everything the server owns lies below `directory`, so that a backup, a copy or a restored tree of it can be
 * started elsewhere with `CyrusServer.adopt`. Needs root (the master starts as root and changes to user cyrus).
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { freePorts } from "./free-ports.ts";

const BINARIES = "/usr/lib/cyrus/bin";
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 30_000;

/** The realm of every account and the name in Received lines: the same on every machine. */
const SERVER_NAME = "mail.example.org";
export const ADMIN = "cyrus";
export const ADMIN_PASSWORD = "secret";

/** uuid: what 3.6 does by itself. legacy: named directories, real hash letters, meta and archive partitions. */
export type Layout = "uuid" | "legacy";

export interface CyrusOptions {
  readonly layout?: Layout;
  /** Lines of imapd.conf, added or instead of the usual ones; `{dir}` stands for the server's directory. */
  readonly extraConfig?: readonly string[];
}

export interface CyrusPorts {
  readonly imap: number;
  readonly lmtp: number;
  readonly sieve: number;
}

export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why no Cyrus can be started here, or undefined if one can. */
export function cyrusMissing(): string | undefined {
  if (process.platform !== "linux") return "Cyrus tests run on Linux only";
  if (process.getuid?.() !== 0) return "Cyrus has to be started by root";
  const needed = ["master", "imapd", "lmtpd", "timsieved", "reconstruct", "ctl_mboxlist", "unexpunge"];
  for (const name of needed) {
    if (!existsSync(join(BINARIES, name))) {
      return `${join(BINARIES, name)} is missing: apt-get install cyrus-imapd cyrus-admin`;
    }
  }
  if (!existsSync("/usr/bin/setpriv")) return "setpriv is missing: apt-get install util-linux";
  if (!existsSync("/usr/sbin/saslpasswd2")) return "saslpasswd2 is missing: apt-get install sasl2-bin";
  return undefined;
}

export class CyrusServer {
  readonly directory: string;
  readonly layout: Layout;
  readonly #extraConfig: readonly string[];
  #ports: CyrusPorts | undefined;
  #master: ChildProcess | undefined;

  private constructor(directory: string, options: CyrusOptions) {
    this.directory = directory;
    this.layout = options.layout ?? "uuid";
    this.#extraConfig = options.extraConfig ?? [];
  }

  /** A new, empty server in `directory` (made if absent). Not started. */
  static async create(directory: string, options: CyrusOptions = {}): Promise<CyrusServer> {
    const server = new CyrusServer(directory, options);
    const parts = ["etc", "conf", "spool", "spool2", "sieve", "run/lock", "run/proc", "run/socket"];
    if (server.layout === "legacy") parts.push("meta", "archive");
    for (const part of parts) await mkdir(join(directory, part), { recursive: true });
    await chmod(directory, 0o755);
    await server.#writeConfig();
    await run("sh", [
      "-c",
      'printf %s "$1" | saslpasswd2 -p -c -f "$2" -u "$3" "$4"',
      "sh",
      ADMIN_PASSWORD,
      server.path("etc/sasldb2"),
      SERVER_NAME,
      ADMIN,
    ]);
    await run("chown", ["-R", "cyrus:mail", directory]);
    return server;
  }

  /**
   * A server over a tree that came from another one (copied or restored): only the two configuration files are
   * written anew, with this directory's paths; directories that a backup leaves out are made.
   */
  static async adopt(directory: string, options: CyrusOptions = {}): Promise<CyrusServer> {
    const server = new CyrusServer(directory, options);
    for (const part of ["etc", "run/lock", "run/proc", "run/socket"]) {
      await mkdir(join(directory, part), { recursive: true });
    }
    await run("chown", ["-R", "cyrus:mail", join(directory, "run")]);
    await server.#writeConfig();
    return server;
  }

  path(relative: string): string {
    return join(this.directory, relative);
  }

  get configPath(): string {
    return this.path("etc/imapd.conf");
  }

  get options(): CyrusOptions {
    return { layout: this.layout, extraConfig: this.#extraConfig };
  }

  /** What stands between the parts of a mailbox name on the wire. */
  get separator(): string {
    return this.layout === "uuid" ? "/" : ".";
  }

  get ports(): CyrusPorts {
    if (this.#ports === undefined) throw new Error("the server is not running");
    return this.#ports;
  }

  /** Returns once IMAP, LMTP and ManageSieve accept connections. */
  async start(): Promise<void> {
    if (this.#master !== undefined) throw new Error("the server is running already");
    const [imap, lmtp, sieve] = await freePorts(3);
    if (imap === undefined || lmtp === undefined || sieve === undefined) throw new Error("no free ports");
    this.#ports = { imap, lmtp, sieve };
    await this.#writeServices(this.#ports);
    const command = [join(BINARIES, "master"), "-C", this.configPath, "-M", this.path("etc/cyrus.conf")];
    command.push("-p", this.path("run/master.pid"));
    if (existsSync("/usr/bin/eatmydata")) command.unshift("eatmydata");
    // Its own process group: master ends its children by signalling the group. It must not outlive the tests.
    const master = spawn("/usr/bin/setpriv", ["--pdeathsig", "TERM", ...command], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    master.stdout.on("data", (data: Buffer) => {
      output += data.toString();
    });
    master.stderr.on("data", (data: Buffer) => {
      output += data.toString();
    });
    this.#master = master;
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (const port of [imap, lmtp, sieve]) {
      while (!(await accepts(port))) {
        if (master.exitCode !== null || Date.now() > deadline) {
          await this.stop();
          throw new Error(`Cyrus did not start: ${output}`);
        }
        await sleep(50);
      }
    }
  }

  /** Returns when every process of the server is gone, so that nothing below `directory` changes any more. */
  async stop(): Promise<void> {
    const master = this.#master;
    this.#master = undefined;
    this.#ports = undefined;
    if (master?.pid === undefined) return;
    const group = master.pid;
    if (master.exitCode === null && master.signalCode === null) master.kill("SIGTERM");
    const deadline = Date.now() + STOP_TIMEOUT_MS;
    while (processesOfGroup(group).length > 0) {
      if (Date.now() > deadline) {
        for (const pid of processesOfGroup(group)) process.kill(pid, "SIGKILL");
        throw new Error("Cyrus did not stop in time");
      }
      await sleep(20);
    }
  }

  /** Runs one of Cyrus's own tools on this server as user cyrus; `-C` is added. A non-zero exit is returned, not thrown. */
  async tool(name: string, ...args: readonly string[]): Promise<ToolResult> {
    const program = join(BINARIES, name);
    return await execute("runuser", ["-u", "cyrus", "--", program, "-C", this.configPath, ...args]);
  }

  /** Internal names of all mailboxes as Cyrus's own list has them: DELETED ones too, tombstones (type `d`) not. */
  async mailboxNames(): Promise<string[]> {
    const { stdout } = await this.tool("ctl_mboxlist", "-d");
    const list = JSON.parse(stdout) as Record<string, { readonly mbtype?: string }>;
    return Object.keys(list).filter((name) => list[name]?.mbtype?.includes("d") !== true);
  }

  /**
   * What Cyrus itself finds wrong: the lines of `reconstruct -n -G` (changes nothing, hashes every message) that do
   * more than name a mailbox. Its exit status is 0 either way. Observed on 3.6.1.
   */
  async damage(): Promise<string[]> {
    const names = new Set((await this.mailboxNames()).map((name) => this.#externalName(name)));
    if (names.size === 0) throw new Error("the server has no mailbox to look at");
    const { stdout, stderr } = await this.tool("reconstruct", "-n", "-G");
    const lines = `${stdout}\n${stderr}`.split("\n").filter((line) => line !== "");
    const seen = lines.filter((line) => names.has(line)).length;
    if (seen < names.size) lines.push(`reconstruct looked at ${seen} of ${names.size} mailboxes`);
    return lines.filter((line) => !names.has(line));
  }

  #externalName(internal: string): string {
    const at = internal.indexOf("!");
    const name = internal.slice(at + 1);
    const domain = at < 0 ? "" : `@${internal.slice(0, at)}`;
    return (this.separator === "." ? name : name.replaceAll(".", "/").replaceAll("^", ".")) + domain;
  }

  async #writeConfig(): Promise<void> {
    // An option may stand there once.
    const keyOf = (line: string) => line.slice(0, line.indexOf(":"));
    const given = new Set(this.#extraConfig.map(keyOf));
    const usual = [...commonConfig(), ...layoutConfig(this.layout)].filter((line) => !given.has(keyOf(line)));
    const lines = [...usual, ...this.#extraConfig];
    const text = lines.map((line) => `${line.replaceAll("{dir}", this.directory)}\n`).join("");
    await writeFile(this.configPath, text);
    await writeFile(this.path("etc/cyrus.conf"), "START {\n}\nSERVICES {\n}\nEVENTS {\n}\n");
  }

  async #writeServices(ports: CyrusPorts): Promise<void> {
    const service = (name: string, program: string, port: number) =>
      `  ${name} cmd="${BINARIES}/${program} -C ${this.configPath}${name === "lmtp" ? " -a" : ""}"` +
      ` listen="127.0.0.1:${port}" prefork=0 maxchild=20\n`;
    await writeFile(
      this.path("etc/cyrus.conf"),
      `START {\n  recover cmd="${BINARIES}/ctl_cyrusdb -C ${this.configPath} -r"\n}\nSERVICES {\n` +
        service("imap", "imapd", ports.imap) +
        service("lmtp", "lmtpd", ports.lmtp) +
        service("sieve", "timsieved", ports.sieve) +
        "}\nEVENTS {\n}\n",
    );
  }
}

function commonConfig(): string[] {
  return [
    `servername: ${SERVER_NAME}`,
    "configdirectory: {dir}/conf",
    "proc_path: {dir}/run/proc",
    "mboxname_lockpath: {dir}/run/lock",
    "lmtpsocket: {dir}/run/socket/lmtp",
    "idlesocket: {dir}/run/socket/idle",
    "notifysocket: {dir}/run/socket/notify",
    "defaultpartition: default",
    "partition-default: {dir}/spool",
    "partition-second: {dir}/spool2",
    "sievedir: {dir}/sieve",
    `admins: ${ADMIN}`,
    "allowplaintext: yes",
    "sasl_pwcheck_method: auxprop",
    "sasl_auxprop_plugin: sasldb",
    "sasl_mech_list: PLAIN",
    "sasl_sasldb_path: {dir}/etc/sasldb2",
    "hashimapspool: true",
    "altnamespace: no",
    "delete_mode: delayed",
    "expunge_mode: delayed",
    // Headers with raw 8-bit bytes stay as they came.
    "munge8bit: no",
    "annotation_allow_undefined: yes",
  ];
}

function layoutConfig(layout: Layout): string[] {
  if (layout === "uuid") return ["unixhierarchysep: yes"];
  return [
    "unixhierarchysep: no",
    "mailbox_legacy_dirs: 1",
    "fulldirhash: yes",
    "virtdomains: userid",
    "defaultdomain: example.org",
    "metapartition-default: {dir}/meta",
    "metapartition_files: header index cache annotations",
    "archive_enabled: yes",
    "archivepartition-default: {dir}/archive",
  ];
}

/** Ids of the processes of a group that still run (zombies are gone in all that matters). */
function processesOfGroup(group: number): number[] {
  const found: number[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    let stat: string;
    try {
      stat = readFileSync(`/proc/${name}/stat`, "utf8");
    } catch {
      continue;
    }
    const [state, , processGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (Number(processGroup) === group && state !== "Z") found.push(Number(name));
  }
  return found;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    const answer = (value: boolean) => {
      socket.destroy();
      resolve(value);
    };
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function execute(program: string, args: readonly string[]): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    execFile(program, [...args], { maxBuffer: 1 << 30 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      if (typeof code === "number") resolve({ code, stdout, stderr });
      else reject(error);
    });
  });
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const result = await execute(program, args);
  if (result.code !== 0) throw new Error(`${program} failed (${result.code}): ${result.stderr}`);
}
