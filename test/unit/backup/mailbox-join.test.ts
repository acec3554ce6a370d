import { describe, expect, test } from "vitest";
import { type ListedMailbox, ListedMailboxes } from "../../../src/backup/listed-mailboxes.ts";
import { joinMailboxes } from "../../../src/backup/mailbox-join.ts";
import { type MailboxPlace, MailboxPlaces } from "../../../src/backup/mailbox-places.ts";
import { type ByteString, fromText, joinPath } from "../../../src/base/byte-string.ts";
import type { MailboxHeader } from "../../../src/cyrus/mailbox-header.ts";
import { legacyMailboxPaths, type PathRules } from "../../../src/cyrus/mailbox-path.ts";
import type { FileStat } from "../../../src/manifest/model.ts";
import type { RootKind, ServerRoot } from "../../../src/source/roots.ts";

const bytes = (text: string): ByteString => fromText(text);
const STAT: FileStat = { mode: 0, uid: 0, gid: 0, size: 0, mtimeNs: 0n, ctimeNs: 0n, inode: 1, links: 1 };
const RULES: PathRules = { hashImapSpool: false, fullDirHash: false, virtualDomains: false };

function rootOf(kind: RootKind, path: string, name = "default"): ServerRoot {
  const at = bytes(path);
  return { kind, name: bytes(name), path: at, realPath: at, logicalPath: at, configuredPath: at };
}

const SPOOL = rootOf("partition", "/spool");
const META = rootOf("metapartition", "/meta");
const ARCHIVE = rootOf("archivepartition", "/archive");

const listed = (name: string, change: Partial<ListedMailbox> = {}): ListedMailbox => ({
  name: bytes(name),
  uniqueid: undefined,
  partition: bytes("default"),
  mailboxType: bytes("e"),
  acl: bytes(""),
  uidvalidity: undefined,
  kind: "local",
  ...change,
});

function join(
  list: readonly ListedMailbox[],
  directories: readonly (readonly [ServerRoot, string, Partial<MailboxHeader>?])[],
  rules = RULES,
) {
  const places = new MailboxPlaces();
  const headers = new Map<string, Partial<MailboxHeader>>();
  for (const [root, relative, header] of directories) {
    const path = joinPath(root.path, bytes(relative));
    places.add(root, { path, realPath: path, stat: STAT, listed: true });
    if (header !== undefined) headers.set(path, header);
  }
  const findings: string[] = [];
  const asked: string[] = [];
  const { tasks, remote } = joinMailboxes({
    listed: ListedMailboxes.of(list),
    places,
    rules,
    listPath: bytes("/mailboxes.db"),
    findings: {
      add: (code, severity, path, _message, about) => {
        findings.push(`${severity} ${code} ${about?.mailbox ?? path}`);
        return { accepted: false };
      },
    },
    readHeader: (place: MailboxPlace) => {
      const [first] = place.directories;
      asked.push(first?.path ?? "");
      for (const { path } of place.directories) {
        const header = headers.get(path);
        if (header !== undefined) return { flagNames: [], ...header } as unknown as MailboxHeader;
      }
      return undefined;
    },
  });
  const found = [...tasks].map(
    ({ name, list, place }) =>
      `${name}${list ? "" : " (unlisted)"} ${place.directories.map(({ path }) => path)}`,
  );
  return { found, findings, asked, remote };
}

describe("a mailbox of the list finds its directory", () => {
  test("by its uniqueid, or by its name where the list says so, without reading a header", () => {
    const { found, findings, asked } = join(
      [
        listed("user.b", { uniqueid: bytes("bbbb") }),
        listed("user.a", { mailboxType: bytes("el"), uniqueid: bytes("aaaa") }),
      ],
      [
        [SPOOL, "uuid/b/b/bbbb"],
        [SPOOL, "user/a"],
      ],
    );
    expect(found).toEqual(["user.a /spool/user/a", "user.b /spool/uuid/b/b/bbbb"]);
    expect([findings, asked]).toEqual([[], []]);
  });

  test("with all directories that it has, data before archive before metadata", () => {
    const { found } = join(
      [listed("user.a")],
      [
        [META, "user/a"],
        [ARCHIVE, "user/a"],
        [SPOOL, "user/a"],
      ],
    );
    expect(found).toEqual(["user.a /spool/user/a,/archive/user/a,/meta/user/a"]);
  });

  test("only in its own partition", () => {
    const other = rootOf("partition", "/spool2", "second");
    const { found, findings } = join([listed("user.a", { partition: bytes("second") })], [[other, "user/a"]]);
    expect(found).toEqual(["user.a /spool2/user/a"]);
    expect(findings).toEqual([]);
    const wrong = join(
      [listed("user.a", { partition: bytes("second") })],
      [[SPOOL, "user/a", { name: bytes("user.x") }]],
    );
    expect(wrong.findings).toEqual(["warning mailbox-unlisted user.x", "error mailbox-missing user.a"]);
  });

  test("where either version's hash puts it, without reading a header", () => {
    const rules = { hashImapSpool: true, fullDirHash: true, virtualDomains: false };
    const relatives = legacyMailboxPaths(bytes("user.fred^smith"), rules);
    expect(relatives.length).toBe(2);
    for (const relative of relatives) {
      const { found, asked } = join([listed("user.fred^smith")], [[SPOOL, relative]], rules);
      expect(found).toEqual([`user.fred^smith /spool/${relative}`]);
      expect(asked).toEqual([]);
    }
  });

  test("elsewhere, if the header there has its uniqueid or its name", () => {
    const byId = join(
      [listed("user.a", { uniqueid: bytes("aaaa") })],
      [[SPOOL, "strange/place", { uniqueId: bytes("aaaa") }]],
    );
    expect(byId).toMatchObject({ found: ["user.a /spool/strange/place"], findings: [] });
    const byName = join([listed("user.a")], [[SPOOL, "strange/place", { name: bytes("user.a") }]]);
    expect(byName).toMatchObject({ found: ["user.a /spool/strange/place"], findings: [] });
  });
});

describe("what is only on one side is named", () => {
  test("a mailbox without a directory", () => {
    expect(join([listed("user.a", { uniqueid: bytes("aaaa") })], [])).toMatchObject({
      found: [],
      findings: ["error mailbox-missing user.a"],
    });
  });

  test("a directory without a mailbox: by its header's name, by its path, or by where it lies", () => {
    const { found, findings } = join(
      [],
      [
        [SPOOL, "uuid/a/a/aaaa", { name: bytes("user.a"), uniqueId: bytes("aaaa") }],
        [SPOOL, "user/b"],
        [SPOOL, "uuid/c/c/cccc"],
        [SPOOL, "user/d", { name: bytes("user/../etc") }],
      ],
    );
    expect(found).toEqual([
      "?/spool/uuid/c/c/cccc (unlisted) /spool/uuid/c/c/cccc",
      "user.a (unlisted) /spool/uuid/a/a/aaaa",
      "user.b (unlisted) /spool/user/b",
      "user.d (unlisted) /spool/user/d",
    ]);
    expect(findings.every((finding) => finding.startsWith("warning mailbox-unlisted"))).toBe(true);
    expect(findings.length).toBe(4);
  });

  test("a directory whose header names a mailbox that has another directory goes by its path", () => {
    const { found } = join(
      [listed("user.a", { uniqueid: bytes("aaaa") })],
      [
        [SPOOL, "uuid/a/a/aaaa"],
        [SPOOL, "uuid/d/d/dddd", { name: bytes("user.a"), uniqueId: bytes("dddd") }],
      ],
    );
    expect(found).toEqual([
      "?/spool/uuid/d/d/dddd (unlisted) /spool/uuid/d/d/dddd",
      "user.a /spool/uuid/a/a/aaaa",
    ]);
  });
});

describe("of the list are passed over", () => {
  test("remote mailboxes, counted, and names without directories", () => {
    const result = join([listed("user.far", { kind: "remote" }), listed("user.gone", { kind: "none" })], []);
    expect(result).toMatchObject({ found: [], findings: [], remote: 1 });
  });

  test.each([["user...x"], ["user.../..^"], ["user.a\x07"], [""]])("the name %j, with a finding", (name) => {
    const { found, findings } = join([listed(name), listed("user.ok")], [[SPOOL, "user/ok"]]);
    expect(found).toEqual(["user.ok /spool/user/ok"]);
    expect(findings).toEqual([`error mailbox-name-invalid ${name}`]);
  });
});

describe("one uniqueid for two mailboxes", () => {
  test("that share a directory keeps it once, as an error", () => {
    const twice = ["user.a", "user.b"].map((name) => listed(name, { uniqueid: bytes("aaaa") }));
    expect(join(twice, [[SPOOL, "uuid/a/a/aaaa"]])).toMatchObject({
      found: ["user.a /spool/uuid/a/a/aaaa"],
      findings: ["error uniqueid-duplicate user.b"],
    });
  });

  test("that have a directory each keeps both, as a warning", () => {
    const twice = ["user.a", "user.b"].map((name) =>
      listed(name, { uniqueid: bytes("aaaa"), mailboxType: bytes("el") }),
    );
    const { found, findings } = join(twice, [
      [SPOOL, "user/a"],
      [SPOOL, "user/b"],
    ]);
    expect(found.length).toBe(2);
    expect(findings).toEqual(["warning uniqueid-duplicate user.b"]);
  });
});
