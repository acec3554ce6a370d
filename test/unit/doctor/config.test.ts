import { expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { type ConfigInput, judgeConfig } from "../../../src/doctor/judge-config.ts";
import { judgeUniqueids } from "../../../src/doctor/mailbox-census.ts";
import { parseCyrusConf } from "../../../src/doctor/schedule.ts";
import { filesystemsOf } from "../../../src/source/host/filesystems.ts";
import { parseMounts } from "../../../src/source/host/mounts.ts";
import { configured, madeUpHost, mountInfo, root } from "./made-up-host.ts";

const ROOTS = [root("config", "/var/lib/cyrus"), root("partition", "/var/spool/cyrus", "default")];

function judge(lines: readonly string[], given: Partial<ConfigInput> = {}) {
  return judgeConfig({
    ...configured(...lines),
    roots: ROOTS,
    filesystems: [],
    cyrusConf: [],
    exists: () => false,
    ...given,
  });
}

test("a plain server is given nothing to think of", () => {
  expect(judge([])).toEqual([]);
});

test("a metapartition on another disk is covered, and to be frozen at the same moment", () => {
  const roots = [...ROOTS, root("metapartition", "/ssd/meta", "default")];
  const facts = madeUpHost({
    mountInfo: mountInfo(["/", "ext4", "/dev/sda1"], ["/ssd", "ext4", "/dev/nvme0n1"]),
  });
  const filesystems = filesystemsOf(
    roots.map(({ path }) => path),
    parseMounts(facts.mountInfo),
    facts,
  );
  const checks = judge(["metapartition-default: /ssd/meta", "metapartition_files: header index"], {
    roots,
    filesystems,
  });
  expect(checks).toMatchObject([
    { code: "metapartition-elsewhere", severity: "note", path: "/ssd/meta" },
    { code: "several-filesystems", severity: "note" },
  ]);
});

test("a metapartition beside the spool is nothing to speak of", () => {
  const roots = [...ROOTS, root("metapartition", "/var/meta", "index-default")];
  const facts = madeUpHost({ mountInfo: mountInfo(["/", "ext4", "/dev/sda1"]) });
  const filesystems = filesystemsOf(
    roots.map(({ path }) => path),
    parseMounts(facts.mountInfo),
    facts,
  );
  expect(judge(["metadir-index-default: /var/meta"], { roots, filesystems })).toEqual([]);
});

test("sieve scripts in home directories are covered by nothing", () => {
  expect(judge(["sieveusehomedir: yes"])).toMatchObject([{ code: "sieve-in-homes", severity: "warning" }]);
});

test("search indexes, certificates and paths of unknown options are named with what keeps them", () => {
  const checks = judge([
    "defaultsearchpartition-default: /search",
    "tls_server_key: /etc/ssl/mail.key",
    "my_own_option: /data/odd",
  ]);
  expect(checks.map(({ code, severity, path }) => [code, severity, path])).toEqual([
    ["config-unknown-location", "warning", "/data/odd"],
    ["config-unknown-location", "note", "/etc/ssl/mail.key"],
    ["search-left-out", "note", "/search"],
  ]);
});

test("sasldb is well where it is covered, and missed where it is not", () => {
  const covered = { roots: [...ROOTS, root("file", "/etc/sasldb2")] };
  expect(judge([], covered)).toMatchObject([{ code: "sasldb", severity: "ok" }]);
  expect(
    judge(["sasl_sasldb_path: /srv/sasldb"], { exists: (path) => path === "/srv/sasldb" }),
  ).toMatchObject([{ code: "sasldb", severity: "warning", path: "/srv/sasldb" }]);
});

test.each([
  ["sync_host: replica.example.org", "replication"],
  ["offsite_sync_host: replica.example.org", "replication"],
  ["mupdate_server: mupdate.example.org", "murder"],
  ["proxyservers: murder", "murder"],
])("%s: better backed up elsewhere, a note", (line, code) => {
  expect(judge([line])).toMatchObject([{ code, severity: "note" }]);
});

test("a server that listens for replication may be the replica", () => {
  const cyrusConf = parseCyrusConf(
    fromText('SERVICES {\n csync cmd="/usr/lib/cyrus/bin/sync_server" listen="csync"\n}\n'),
  );
  expect(judge([], { cyrusConf })).toMatchObject([{ code: "replica", severity: "note" }]);
});

test("a uniqueid that two mailboxes have is a warning that names them", () => {
  const entry = (name: string, uniqueid?: string) => ({
    name: fromText(name),
    ...(uniqueid === undefined ? {} : { uniqueid: fromText(uniqueid) }),
  });
  const twice = judgeUniqueids([entry("user.a", "id1"), entry("user.b", "id2"), entry("user.c", "id1")]);
  expect(twice[0]).toMatchObject({ code: "duplicate-uniqueid", severity: "warning" });
  expect(twice[0]?.message).toContain("user.a, user.c have id1");
  expect(judgeUniqueids([entry("user.a", "id1"), entry("user.b", "id2")])[0]?.severity).toBe("ok");
  // Lists of 2.x have no uniqueids: then nothing is known.
  expect(judgeUniqueids([entry("user.a"), entry("user.b")]).map(({ code }) => code)).toEqual([
    "guids-not-checked",
  ]);
});
