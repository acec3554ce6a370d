import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { parseMountPoints } from "../../../src/source/host-mounts.ts";
import { outermostRoots } from "../../../src/source/roots.ts";
import { describeServer, type ServerInput } from "../../../src/source/server.ts";
import { type PathMapping, SourceView } from "../../../src/source/view.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

const bytes = (text: string): ByteString => fromText(text);
const CONF = "configdirectory: /var/lib/cyrus\npartition-default: /var/spool/cyrus\n";

let dir: TempDir;

beforeEach(() => {
  dir = tempDir();
  for (const path of ["var/lib/cyrus", "var/spool/cyrus", "etc"])
    mkdirSync(dir.in("snap", path), { recursive: true });
});
afterEach(() => dir.remove());

function write(path: string, content: string): void {
  mkdirSync(dirname(dir.in("snap", path)), { recursive: true });
  writeFileSync(dir.in("snap", path), content);
}

function describeIt(
  input: Partial<Omit<ServerInput, "view" | "config">> & { mappings?: PathMapping[]; config?: string } = {},
) {
  const { mappings = [], config, ...rest } = input;
  return describeServer({
    view: new SourceView(bytes(dir.in("snap")), mappings),
    config: config === undefined ? undefined : bytes(config),
    includes: [],
    withSearch: false,
    mountPoints: [],
    ...rest,
  });
}

function rootsOf(input: Parameters<typeof describeIt>[0] = {}): string[] {
  return describeIt(input).roots.map(({ kind, name, path }) => `${kind}${name && `-${name}`} ${path}`);
}

describe("the configuration", () => {
  test("is the snapshot's /etc/imapd.conf when none is named", () => {
    write("etc/imapd.conf", `${CONF}servername: of-the-snapshot\n`);
    const server = describeIt();
    expect(server.configPath).toBe("/etc/imapd.conf");
    expect(server.layout.serverName).toBe("of-the-snapshot");
  });

  test("that is named is taken literally first, and keeps its name on the server", () => {
    write("etc/cyrus/imapd.conf", `${CONF}servername: of-the-snapshot\n`);
    const server = describeIt({ config: dir.in("snap/etc/cyrus/imapd.conf") });
    expect(server.configPath).toBe("/etc/cyrus/imapd.conf");
    expect(server.roots.find(({ kind }) => kind === "file")).toMatchObject({
      path: "/etc/cyrus/imapd.conf",
      realPath: dir.in("snap/etc/cyrus/imapd.conf"),
    });
  });

  test("that is named and only in the snapshot is found there", () => {
    write("opt/site/imapd.conf", CONF);
    expect(describeIt({ config: "/opt/site/imapd.conf" }).configPath).toBe("/opt/site/imapd.conf");
  });

  test("may lie outside the snapshot, and is kept all the same", () => {
    writeFileSync(dir.in("own.conf"), CONF);
    const server = describeIt({ config: dir.in("own.conf") });
    expect(server.roots).toContainEqual(
      expect.objectContaining({ kind: "file", path: dir.in("own.conf"), realPath: dir.in("own.conf") }),
    );
  });

  test("that is missing ends the command with the option to give", () => {
    expect(() => describeIt({ config: "/no/such.conf" })).toThrowError(
      expect.objectContaining({
        code: "CONFIG_INVALID",
        message: expect.stringContaining("/no/such.conf"),
        hint: expect.stringContaining("--config"),
      }),
    );
  });

  test("without a partition is not the server's own", () => {
    write("etc/imapd.conf", "configdirectory: /var/lib/cyrus\n");
    expect(() => describeIt()).toThrowError(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  test("takes its includes from the snapshot, follows its links, and keeps them too", () => {
    write("etc/imapd.conf", "configdirectory: /var/lib/cyrus\n@include: /etc/cyrus/partitions.conf\n");
    write("srv/real.conf", "partition-default: /var/spool/cyrus\n");
    mkdirSync(dir.in("snap/etc/cyrus"), { recursive: true });
    symlinkSync("/srv/real.conf", dir.in("snap/etc/cyrus/partitions.conf"));
    const roots = rootsOf();
    expect(roots).toContain("partition-default /var/spool/cyrus");
    expect(roots).toContain("file /srv/real.conf");
  });

  test.each([
    ["that is not there", "@include: /etc/absent.conf\n", "/etc/absent.conf"],
    ["that includes its includer", "@include: /etc/imapd.conf\n", "included twice"],
  ])("with an include %s is refused", (_, line, said) => {
    write("etc/imapd.conf", CONF + line);
    expect(() => describeIt()).toThrowError(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(said) }),
    );
  });

  test("named beside the snapshot takes includes from the snapshot before those of this machine", () => {
    writeFileSync(dir.in("own.conf"), `${CONF}@include: ${dir.in("more.conf")}\n`);
    writeFileSync(dir.in("more.conf"), "servername: live\n");
    expect(describeIt({ config: dir.in("own.conf") }).layout.serverName).toBe("live");
    write(dir.in("more.conf").slice(1), "servername: frozen\n");
    expect(describeIt({ config: dir.in("own.conf") }).layout.serverName).toBe("frozen");
  });
});

describe("the roots", () => {
  test("are every place that the configuration names, each once", () => {
    for (const path of ["meta", "archive", "idx", "var/sieve", "annot"])
      mkdirSync(dir.in("snap", path), { recursive: true });
    write(
      "etc/imapd.conf",
      `${CONF}metapartition-default: /meta\nmetapartition_files: header index\nmetadir-index-default: /idx
archivepartition-default: /archive\narchive_enabled: yes\nsievedir: /var/sieve\n`,
    );
    const roots = rootsOf();
    expect(roots).toEqual(
      expect.arrayContaining([
        "config /var/lib/cyrus",
        "partition-default /var/spool/cyrus",
        "metapartition-default /meta",
        "metapartition-default /idx",
        "archivepartition-default /archive",
        "sieve /var/sieve",
        "file /etc/imapd.conf",
      ]),
    );
    expect(new Set(roots).size).toBe(roots.length);
  });

  test.each([
    ["partition-mail: /absent\n", "partition-mail"],
    ["metapartition-default: /absent\n", "metapartition-default"],
    ["archivepartition-default: /absent\narchive_enabled: yes\n", "archivepartition-default"],
  ])("that are configured and absent are refused: %j", (line, setting) => {
    write("etc/imapd.conf", CONF + line);
    expect(() => describeIt()).toThrowError(
      expect.objectContaining({
        code: "SOURCE_INVALID",
        message: expect.stringContaining(`${setting}: there is no /absent`),
        hint: expect.stringContaining("--map /absent="),
      }),
    );
  });

  test("that Cyrus does not use may be absent", () => {
    write("etc/imapd.conf", `${CONF}archivepartition-default: /absent\nsievedir: /no/sieve\n`);
    expect(rootsOf().filter((root) => root.includes("absent") || root.includes("sieve"))).toEqual([]);
  });

  test("that are files where a directory should be are refused", () => {
    write("spool", "");
    write("etc/imapd.conf", "configdirectory: /var/lib/cyrus\npartition-default: /spool\n");
    expect(() => describeIt()).toThrowError(
      expect.objectContaining({
        code: "SOURCE_INVALID",
        message: expect.stringContaining("is not a directory"),
      }),
    );
  });

  test("behind a symbolic link are named by where they are, and know where they were configured", () => {
    mkdirSync(dir.in("snap/srv/mail"), { recursive: true });
    symlinkSync("/srv/mail", dir.in("snap/var/spool/linked"));
    write("etc/imapd.conf", "configdirectory: /var/lib/cyrus\npartition-default: /var/spool/linked\n");
    expect(describeIt().roots.find(({ kind }) => kind === "partition")).toMatchObject({
      path: "/srv/mail",
      realPath: dir.in("snap/srv/mail"),
      configuredPath: "/var/spool/linked",
    });
  });

  test("behind a symbolic link bring the link along: without it the configuration would lead nowhere after a restore", () => {
    write("etc/imapd.conf", "configdirectory: /var/lib/cyrus\npartition-default: /srv/mail\n");
    mkdirSync(dir.in("snap/data/mail"), { recursive: true });
    mkdirSync(dir.in("snap/srv"), { recursive: true });
    symlinkSync("/data/mail", dir.in("snap/srv/mail"));
    expect(rootsOf()).toEqual(expect.arrayContaining(["partition-default /data/mail", "file /srv/mail"]));
  });

  test("behind a link that leaves the snapshot are refused, though the target exists on this machine", () => {
    mkdirSync(dir.in("live"));
    symlinkSync(dir.in("live"), dir.in("snap/var/spool/linked"));
    write("etc/imapd.conf", "configdirectory: /var/lib/cyrus\npartition-default: /var/spool/linked\n");
    expect(() => describeIt()).toThrowError(expect.objectContaining({ code: "SOURCE_INVALID" }));
  });

  test("on another filesystem than their mapping says are refused, with the --map to give", () => {
    write("etc/imapd.conf", "configdirectory: /var/lib/cyrus\npartition-default: /srv/shm\n");
    const mappings = [{ from: bytes("/srv"), to: bytes("/dev") }];
    expect(() => describeIt({ mappings })).toThrowError(
      expect.objectContaining({
        code: "SOURCE_INVALID",
        message: expect.stringContaining("partition-default: /srv/shm lies on another filesystem"),
        hint: expect.stringContaining("--map /srv/shm=/dev/shm"),
      }),
    );
    mappings.push({ from: bytes("/srv/shm"), to: bytes("/dev/shm") });
    expect(describeIt({ mappings }).roots.find(({ kind }) => kind === "partition")?.realPath).toBe(
      "/dev/shm",
    );
  });

  test("of the search engine count only when asked for", () => {
    mkdirSync(dir.in("snap/search"));
    write("etc/imapd.conf", `${CONF}t1searchpartition-default: /search\ndefaultsearchtier: t1\n`);
    expect(rootsOf()).not.toContain("search-t1-default /search");
    expect(rootsOf({ withSearch: true })).toContain("search-t1-default /search");
  });

  test("that --include names must be there", () => {
    write("etc/imapd.conf", CONF);
    write("etc/ssl/key.pem", "x");
    expect(rootsOf({ includes: [bytes("/etc/ssl/key.pem")] })).toContain("include /etc/ssl/key.pem");
    expect(() => describeIt({ includes: [bytes("/etc/absent")] })).toThrowError(
      expect.objectContaining({ code: "SOURCE_INVALID", message: expect.stringContaining("--include") }),
    );
  });

  test("include the site's files and databases outside the configdirectory, but no disposable database", () => {
    for (const path of ["etc/cyrus.conf", "etc/sasldb2", "db/mailboxes.db", "db/deliver.db", "db/tls.db"])
      write(path, "x");
    write(
      "etc/imapd.conf",
      `${CONF}mboxlist_db_path: /db/mailboxes.db\nduplicate_db_path: /db/deliver.db\ntls_sessions_db_path: /db/tls.db\n`,
    );
    const roots = rootsOf();
    for (const path of ["/etc/cyrus.conf", "/etc/sasldb2", "/db/mailboxes.db"])
      expect(roots).toContain(`file ${path}`);
    expect(roots.filter((root) => /deliver|tls/.test(root))).toEqual([]);
  });

  test("take what lies in another root only once", () => {
    write("var/lib/cyrus/mailboxes.db", "x");
    mkdirSync(dir.in("snap/var/lib/cyrus/sieve"));
    write(
      "etc/imapd.conf",
      `${CONF}mboxlist_db_path: /var/lib/cyrus/mailboxes.db\nsievedir: /var/lib/cyrus/sieve\n`,
    );
    const { roots } = describeIt();
    expect(roots.some(({ path }) => path.endsWith("mailboxes.db"))).toBe(false);
    expect(outermostRoots(roots).some(({ path }) => path.endsWith("sieve"))).toBe(false);
    expect(roots.some(({ path }) => path.endsWith("sieve"))).toBe(true);
  });
});

describe("a filesystem of its own inside a root", () => {
  beforeEach(() => write("etc/imapd.conf", CONF));

  test("is refused, with the --map to give", () => {
    expect(() => describeIt({ mountPoints: [bytes("/"), bytes("/var/spool/cyrus/b")] })).toThrowError(
      expect.objectContaining({
        code: "SOURCE_INVALID",
        message: expect.stringContaining("/var/spool/cyrus/b"),
        hint: expect.stringContaining("--map /var/spool/cyrus/b="),
      }),
    );
  });

  test.each([
    ["the root's own mount", "/var/spool/cyrus"],
    ["one that only begins alike", "/var/spool/cyrus2"],
    ["one of Cyrus's runtime directories", "/var/lib/cyrus/proc"],
    ["one below the runtime directories", "/var/lib/cyrus/lock/x"],
  ])("is not: %s", (_, point) => {
    expect(describeIt({ mountPoints: [bytes(point)] }).roots.length).toBeGreaterThan(0);
  });

  test("is fine once it is mapped", () => {
    mkdirSync(dir.in("frozen"));
    const mappings = [{ from: bytes("/var/spool/cyrus/b"), to: bytes(dir.in("frozen")) }];
    expect(describeIt({ mappings, mountPoints: [bytes("/var/spool/cyrus/b")] }).roots.length).toBeGreaterThan(
      0,
    );
  });

  test("is no hole where it is a view that is read: ZFS mounts its snapshots below .zfs", () => {
    const to = bytes("/var/spool/cyrus/.zfs/snapshot/x");
    expect(
      describeIt({ mappings: [{ from: bytes("/elsewhere"), to }], mountPoints: [to] }).roots.length,
    ).toBeGreaterThan(0);
  });

  test("is read from the system's table, blanks and all", () => {
    const table =
      "22 1 8:1 / / rw - ext4 /dev/a rw\n40 22 8:2 / /var/my\\040spool\\134x rw,relatime shared:1 - ext4 /dev/b rw\n\n";
    expect(parseMountPoints(bytes(table))).toEqual(["/", "/var/my spool\\x"]);
  });
});

describe("what is named though it is no part of the backup", () => {
  test.each([
    ["sieve scripts in homes", "sieveusehomedir: yes\n", "sieve-in-homes"],
    ["paths under unknown options", "site_spool: /srv/other\n", "config-unknown-location"],
    ["overrides of one service", "imap_partition-default: /srv/other\n", "config-unknown-location"],
    ["keys and certificates", "tls_server_key: /etc/ssl/private/key.pem\n", "config-unknown-location"],
  ])("%s", (_, line, code) => {
    write("etc/imapd.conf", CONF + line);
    expect(describeIt().notes.map((note) => note.code)).toContain(code);
  });

  test("and nothing for a plain configuration", () => {
    write("etc/imapd.conf", CONF);
    expect(describeIt().notes).toEqual([]);
  });
});
