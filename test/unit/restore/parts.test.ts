import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { parseUidSet, type RestoreOptions, type RestorePart } from "../../../src/restore/options.ts";
import { planRestore } from "../../../src/restore/plan.ts";
import { ServerLayout } from "../../../src/sample/layout.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { compareTrees, readTree, type Tree } from "../../support/tree-compare.ts";
import {
  backUp,
  makeServer,
  openStored,
  readRoot,
  restoreOptions,
  restoreTo,
  type Stored,
} from "./restore-fixture.ts";

const LAYOUTS = ["uuid", "legacy"] as const;

interface Given {
  readonly server: string;
  readonly tree: Tree;
  readonly stored: Stored;
}

describe.each(LAYOUTS)("of a server with the %s layout", (layout) => {
  let dir: TempDir;
  let given: Given;

  beforeAll(async () => {
    dir = tempDir();
    const server = dir.in("server");
    makeServer(server, { layout, users: 12, foldersPerUser: 4, messages: 120, days: 60 });
    chmodSync(join(server, "spool"), 0o751);
    chmodSync(join(server, "conf"), 0o750);
    for (const path of readTree(join(server, "conf")).keys())
      if (/[./]counters(\.db)?$/.test(path))
        writeFileSync(join(server, "conf", path.replace("counters", "seen")), "seen");
    const state = JSON.parse(readFileSync(join(server, "sample-state.json"), "utf8"));
    for (const { id, inboxId } of state.users) {
      const scripts = new ServerLayout(server, layout).sieveDirectory(id, inboxId);
      mkdirSync(scripts, { recursive: true });
      writeFileSync(join(scripts, "mine.script"), `# of ${id}`);
    }
    given = { server, tree: readTree(server), stored: await backUp(server) };
    return () => dir.remove();
  });

  /** What came back: every path below the server's directory that is no directory. All of it equal to what was there. */
  async function restored(options: Partial<RestoreOptions>): Promise<string[]> {
    using target = tempDir();
    await restoreTo(target.path, given.stored, options);
    const tree = readTree(join(target.path, given.server));
    const paths = [...tree.keys()].filter((path) => path !== "." && path !== "etc");
    const differences = compareTrees(only(given.tree, paths), only(tree, paths));
    // A link to what is not part of the restore has nothing to be linked to.
    expect(differences.filter((line) => !line.includes("first name of the same file"))).toEqual([]);
    return paths.filter((path) => tree.get(path)?.type !== "directory");
  }

  const part = (only: RestorePart) => restored({ only: [only] });

  test("the configdirectory alone", async () => {
    const paths = await part({ part: "configdirectory" });
    expect(paths).toContain("conf/mailboxes.db");
    expect(paths.filter((path) => !path.startsWith("conf/"))).toEqual([]);
    const kept = [...given.tree].filter(
      ([path, { type }]) => type === "file" && path.startsWith("conf/") && !/deliver|tls_sessions/.test(path),
    );
    expect(paths.length).toBe(kept.length);
  });

  test("one partition alone, with its metadata and archive", async () => {
    const paths = await part({ part: "partition", name: fromText("default") });
    const roots = new Set(paths.map((path) => path.split("/")[0]));
    const archive = [...given.tree.keys()].some((path) => path.startsWith("archive/") && isLeaf(path));
    expect([...roots].sort()).toEqual(
      layout === "uuid" ? ["spool"] : [...(archive ? ["archive"] : []), "meta", "spool"],
    );
    const files = (tree: Iterable<string>) =>
      [...tree].filter((path) => /\/(\d+\.|cyrus\..*)$/.test(path)).length;
    const of = [...given.tree.keys()].filter((path) => roots.has(path.split("/")[0]));
    expect(files(paths)).toBe(files(of));
    expect(await part({ part: "partition", name: fromText("second") })).not.toEqual([]);
  });

  test("sieve scripts alone", async () => {
    const paths = await part({ part: "sieve" });
    expect(paths).toEqual([...given.tree.keys()].filter((path) => path.startsWith("sieve/") && isLeaf(path)));
    expect(paths).not.toEqual([]);
  });

  test("the mailbox list alone", async () => {
    expect(await part({ part: "mailbox-list" })).toEqual(["conf/mailboxes.db"]);
  });

  test("the configuration alone", async () => {
    expect(await part({ part: "config" })).toEqual(["etc/cyrus.conf", "etc/imapd.conf"]);
  });

  test("a user: mailboxes, deleted ones too, and all of the user's files, nothing of others", async () => {
    const inbox = inboxes().find((name) => mailboxesOf(name).some((of) => of.startsWith("DELETED."))) ?? "";
    const user = inbox.slice("user.".length).replaceAll("^", ".");
    const paths = await restored({ users: [fromText(user)] });
    const names = paths.filter((path) => path.endsWith("cyrus.header")).map(mailboxOf);
    expect(names.sort()).toEqual(mailboxesOf(inbox).sort());
    for (const suffix of ["seen", "sub", "counters"])
      expect(
        paths.filter((path) => new RegExp(`[./]${suffix}(\\.db)?$`).test(path)),
        suffix,
      ).toHaveLength(1);
    const scripts = paths.filter((path) => path.endsWith("/mine.script"));
    expect(scripts.map((path) => readFileSync(join(given.server, path), "utf8"))).toEqual([`# of ${user}`]);
    for (const other of inboxes().filter((name) => layout === "legacy" && name !== inbox)) {
      const id = other.slice("user.".length);
      const theirs = paths.filter((path) =>
        [id, id.replaceAll("^", ".")].some((of) => path.includes(`/${of}`)),
      );
      expect(theirs).toEqual([]);
    }
    const userDirectories = new Set(
      paths.filter((path) => path.startsWith("conf/user/uuid/")).map((p) => p.split("/")[5]),
    );
    expect(userDirectories.size).toBe(layout === "uuid" ? 1 : 0);
  });

  test("a user's quota comes with the user", async () => {
    const quotas = [...given.tree.keys()].filter((path) => path.startsWith("conf/quota/") && isLeaf(path));
    const [quota = ""] = quotas;
    expect(quotas.length).toBeGreaterThan(1);
    const user = quota.slice(quota.lastIndexOf("user.") + "user.".length).replaceAll("^", ".");
    const paths = await restored({ users: [fromText(user)] });
    expect(paths.filter((path) => path.startsWith("conf/quota/"))).toEqual([quota]);
  });

  test("mailboxes by pattern, with everything in them", async () => {
    const [user = ""] = inboxes();
    const inbox = await restored({ mailboxes: [fromText(user)] });
    const all = await restored({ mailboxes: [fromText(`${user}.*`)] });
    expect(inbox.filter((path) => path.endsWith("cyrus.index"))).toHaveLength(1);
    expect(all.filter((path) => path.endsWith("cyrus.index")).length).toBeGreaterThan(1);
    expect(inbox.filter((path) => all.includes(path))).toEqual([]);
    expect(inbox.some((path) => /\/\d+\.$/.test(path))).toBe(true);
  });

  test("UIDs: messages only, never a part of header, index and annotations", async () => {
    const [user = ""] = inboxes();
    const mailboxes = [fromText(user)];
    const all = (await restored({ mailboxes })).filter((path) => /\/\d+\.$/.test(path));
    const uids = all
      .map((path) => Number.parseInt(path.slice(path.lastIndexOf("/") + 1), 10))
      .sort((a, b) => a - b);
    const [first = 0] = uids;
    const set = parseUidSet(`${first}`);
    const some = await restored({ mailboxes, uids: set });
    expect(some).toEqual(all.filter((path) => path.endsWith(`/${first}.`)));
    expect(some).toHaveLength(1);
  });

  test("directories on the way to a part are as they were", async () => {
    using target = tempDir();
    await restoreTo(target.path, given.stored, { mailboxes: inboxes().map(fromText) });
    const restoredTree = readTree(join(target.path, given.server));
    const directories = [...restoredTree].filter(([path, { type }]) => type === "directory" && path !== ".");
    expect(directories.length).toBeGreaterThan(3);
    const spool = restoredTree.get("spool");
    expect(spool).toMatchObject({ mode: 0o751, mtimeNs: given.tree.get("spool")?.mtimeNs });
    for (const [path, { mode, uid, gid, mtimeNs }] of directories)
      expect({ path, mode, uid, gid, mtimeNs }).toMatchObject(pick(path));
  });

  test("a prefix that is mapped goes elsewhere below the target", async () => {
    using target = tempDir();
    const from = fromText(join(given.server, "spool"));
    await restoreTo(target.path, given.stored, { mappings: [{ from, to: fromText("/else/where") }] });
    expect(
      compareTrees(below("spool"), readTree(target.in("else/where")), {
        ignore: (p) => p.startsWith("stage."),
      }),
    ).toEqual([]);
    expect(existsSync(join(target.path, given.server, "spool"))).toBe(false);
    expect(existsSync(join(target.path, given.server, "conf/mailboxes.db"))).toBe(true);
  });

  test("parts restored one after the other make the whole", async () => {
    using target = tempDir();
    const parts: RestorePart[] = [
      { part: "config" },
      { part: "configdirectory" },
      { part: "sieve" },
      { part: "partition", name: fromText("second") },
      { part: "partition", name: fromText("default") },
    ];
    for (const only of parts) await restoreTo(target.path, given.stored, { only: [only] });
    for (const root of ["conf", "sieve", "spool", "spool2"])
      expect(
        compareTrees(below(root), readTree(join(target.path, given.server, root)), {
          ignore: (path) => /^stage\.\/|^(deliver|tls_sessions)\.db$/.test(path),
        }),
        root,
      ).toEqual([]);
  });

  test("what is not in the backup is an error that says what there is", async () => {
    using target = tempDir();
    const fails = (options: Partial<RestoreOptions>) => restoreTo(target.in("t"), given.stored, options);
    await expect(fails({ mailboxes: [fromText("user.nobody-here")] })).rejects.toMatchObject({
      code: "MAILBOX_NOT_FOUND",
    });
    const inbox = fromText(inboxes()[0] ?? "");
    await expect(fails({ mailboxes: [inbox, fromText("user.a-typo")] })).rejects.toMatchObject({
      code: "MAILBOX_NOT_FOUND",
      message: "no mailbox of this backup is meant by --mailbox user.a-typo",
    });
    await expect(
      fails({ mailboxes: [inbox, fromText("no.such.*")], users: [fromText("a-typo")] }),
    ).rejects.toMatchObject({
      code: "MAILBOX_NOT_FOUND",
      message: "no mailbox of this backup is meant by --user a-typo",
    });
    await expect(fails({ users: [fromText("nobody")] })).rejects.toMatchObject({ code: "MAILBOX_NOT_FOUND" });
    await expect(fails({ only: [{ part: "partition", name: fromText("third") }] })).rejects.toMatchObject({
      code: "USAGE",
      hint: expect.stringContaining("default"),
    });
    await expect(fails({ only: [{ part: "text-dumps" }] })).rejects.toMatchObject({
      code: "USAGE",
      hint: expect.stringContaining("without --text-dumps"),
    });
    await expect(fails({ uids: parseUidSet("1") })).rejects.toMatchObject({ code: "USAGE" });
    const mailboxes = [fromText(inboxes()[0] ?? "")];
    await expect(fails({ mailboxes, uids: parseUidSet("999999") })).rejects.toMatchObject({
      code: "MESSAGE_NOT_FOUND",
    });
    expect(readdirSync(target.path)).toEqual([]);
    await fails({ mailboxes: [inbox, fromText("no.such.*")] });
  });

  test("the plan names the roots that something goes to", async () => {
    using target = tempDir();
    const prepare = async (options: Partial<RestoreOptions>) => {
      const repository = await openStored(given.stored.files);
      const root = await readRoot(repository, given.stored.backup.backup);
      const { plan } = await planRestore(restoreOptions(target.path, options), root, repository.objects);
      return plan.roots.map(({ from }) => from.slice(given.server.length + 1)).sort();
    };
    expect(await prepare({ only: [{ part: "sieve" }] })).toEqual(["sieve"]);
    expect(await prepare({})).toEqual(expect.arrayContaining(["conf", "sieve", "spool", "spool2"]));
  });

  const isLeaf = (path: string) => given.tree.get(path)?.type !== "directory";

  function below(root: string): Tree {
    return new Map(
      [...given.tree]
        .filter(([path]) => path === root || path.startsWith(`${root}/`))
        .map(([path, entry]) => [path === root ? "." : path.slice(root.length + 1), entry]),
    );
  }

  function pick(path: string): object {
    const entry = given.tree.get(path);
    if (path === "etc") return { path };
    return { path, mode: entry?.mode, uid: entry?.uid, gid: entry?.gid, mtimeNs: entry?.mtimeNs };
  }

  /** By the header: the one place that has the name in both layouts. */
  function mailboxOf(path: string): string {
    const header = readFileSync(join(given.server, path), "latin1");
    const name = /(?:DELETED\.)?(?:user\.[^\s"%()]+|board[^\s"%()]*)/.exec(
      header.slice(header.indexOf("\n")),
    )?.[0];
    return name ?? "?";
  }

  function mailboxesOf(inbox: string): string[] {
    return [...given.tree.keys()]
      .filter((path) => path.endsWith("cyrus.header"))
      .map(mailboxOf)
      .filter((name) => `${name.replace(/^DELETED\./, "")}.`.startsWith(`${inbox}.`));
  }

  function inboxes(): string[] {
    const state = JSON.parse(readFileSync(join(given.server, "sample-state.json"), "utf8"));
    return state.users.map(({ inbox }: { inbox: string }) => inbox);
  }
});

function only(tree: Tree, paths: readonly string[]): Tree {
  return new Map([...tree].filter(([path]) => paths.includes(path)));
}

test("a set of UIDs is numbers and ranges, and nothing else", () => {
  expect(
    ["1", "7", "8", "9", "10", "12", "99999"].filter((uid) => parseUidSet("7:9,9:8,12:*")?.has(Number(uid))),
  ).toEqual(["7", "8", "9", "12", "99999"]);
  for (const text of ["", "a", "1,", "1:", ":1", "*", "1 2", "-1", "12345678901", "1:2:3"])
    expect(parseUidSet(text), text).toBeUndefined();
});

test("lstat of a directory made on the way is never left at the mode of unfinished ones", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  const stored = await backUp(server);
  await restoreTo(dir.in("target"), stored, { only: [{ part: "config" }] });
  expect(lstatSync(join(dir.in("target"), server, "etc")).mode & 0o777).toBe(0o755);
});
