import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import type { ManifestRoot } from "../../../src/manifest/model.ts";
import { compareReader, refreshRecovery } from "../../../src/recovery/refresh.ts";
import { serverPageName } from "../../../src/recovery/server-page.ts";
import { runbookForAnyBackup } from "../../../src/restore/runbook-for.ts";
import { Site } from "../backup/site.ts";

const FACTS = { id: "ab".repeat(16), encrypted: true, version: "1.2.3" };
const PAGE = "recovery/server-tiny.txt";

/** Words that must never leave imapd.conf, a server's mail or its list unencrypted. */
const SECRETS = ["hunter2", "s3kr3t", "/etc/very-private", "anna", "bert", "Projekt", "invoice"];

const CONF = `configdirectory: /var/lib/cyrus
partition-default: /var/spool/cyrus
metapartition-default: /var/meta/cyrus
metapartition_files: squat cache
defaultpartition: default
sievedir: /var/lib/cyrus/sieve
servername: tiny
hashimapspool: on
admins: bert
ldap_password: hunter2
ldap_sasl_password: /hunter2/s3kr3t
sasl_pwcheck_method: auxprop
sasl_sql_passwd: s3kr3t
sasl_ldapdb_pw: /hunter2
sync_password: hunter2
mupdate_password: s3kr3t
proxy_password: /etc/very-private
tls_server_key: /etc/very-private/key.pem
tls_server_cert: /etc/very-private/cert.pem
`;

describe("the folder recovery/", () => {
  test("is written once, and again only where its bytes would differ", async () => {
    using site = await serverWithSecrets();
    const { root, runbook } = await backedUp(site);
    const refresh = () => refreshRecovery(site.backend, FACTS, { root, runbook });
    expect(await refresh()).toEqual(["recovery/README.txt", "recovery/reader.py", PAGE]);
    expect(await refresh()).toEqual([]);
    await site.backend.replace("recovery/reader.py", Buffer.from("print('harm')\n"));
    expect(await refresh()).toEqual(["recovery/reader.py"]);
    const later = { ...FACTS, version: "1.2.4" };
    expect(await refreshRecovery(site.backend, later)).toEqual(["recovery/README.txt"]);
    await site.backend.remove(PAGE);
    expect(await refreshRecovery(site.backend, later, { root, runbook })).toEqual([PAGE]);
  });

  test("does not change because a day went by", async () => {
    using site = await serverWithSecrets();
    await refreshRecovery(site.backend, FACTS, await backedUp(site));
    site.server.add("user.bert.Work");
    expect(await refreshRecovery(site.backend, FACTS, await backedUp(site))).toEqual([]);
  });

  test("has the reader of this version, byte for byte, and a check tells another one", async () => {
    const backend = new MemoryBackend();
    expect(await compareReader(backend)).toBe("absent");
    await refreshRecovery(backend, FACTS);
    const shipped = readFileSync(join(import.meta.dirname, "../../../docs/formats/reader.py"));
    expect((await backend.read("recovery/reader.py", 1 << 20))?.equals(shipped)).toBe(true);
    expect(await compareReader(backend)).toBe("same");
    shipped[100] = (shipped[100] ?? 0) ^ 1;
    await backend.replace("recovery/reader.py", shipped);
    expect(await compareReader(backend)).toBe("differs");
  });

  test("holds nothing of imapd.conf but what it lists, no name of a mailbox or user, no mail", async () => {
    using site = await serverWithSecrets();
    const { root, runbook } = await backedUp(site, { excludeMailboxes: ["user.anna.*"] });
    const { cyrus, roots, users } = root;
    const further: ManifestRoot["roots"] = [
      { kind: "file", name: "", path: fromText("/etc/very-private/key.pem") },
      { kind: "include", name: "", path: fromText("/home/anna") },
    ];
    const withMore: ManifestRoot = {
      ...root,
      roots: [...roots, ...further],
      cyrus: { ...cyrus, layout: { ...cyrus.layout, ldap_password: "hunter2", serverInfo: "s3kr3t" } },
      users: { ...users, 102: "cyrus", 1001: "anna" },
    };
    await refreshRecovery(site.backend, FACTS, { root: withMore, runbook });
    const texts = new Map<string, string>();
    for await (const { name } of site.backend.list("recovery/"))
      texts.set(name, (await site.backend.read(name, 1 << 20))?.toString("utf8") ?? "");
    expect([...texts.keys()].sort()).toEqual(["recovery/README.txt", "recovery/reader.py", PAGE]);
    // The runbook has an invented mailbox as an example of how to write a name.
    const page = (texts.get(PAGE) ?? "").replaceAll(/user[./]anna[./]Work/g, "");
    for (const text of [texts.get("recovery/README.txt") ?? "", page])
      for (const secret of SECRETS) expect(text).not.toContain(secret);
    for (const told of [
      "/var/lib/cyrus",
      "/var/spool/cyrus",
      "/var/meta/cyrus",
      "/etc/imapd.conf",
      "/etc/cyrus.conf",
    ])
      expect(page).toContain(told);
    expect(page).toMatch(/^ {2}metapartition_files +cache squat$/m);
    expect(page).toMatch(/^ {2}hashimapspool +true$/m);
    expect(page).toMatch(/^ {2}partition +default +\/var\/spool\/cyrus$/m);
    expect(page).toContain("cyrvault restore latest --server tiny --repo . --target /");
    expect(page).toContain("some are excluded");
    expect(page).toMatch(/^ {2}users .*\bcyrus\b/m);
    expect(page).toContain("ctl_cyrusdb");
  });

  test("says plainly whether a key is needed", async () => {
    const readme = async (encrypted: boolean) => {
      const backend = new MemoryBackend();
      await refreshRecovery(backend, { ...FACTS, encrypted });
      return (await backend.read("recovery/README.txt", 1 << 20))?.toString() ?? "";
    };
    expect(await readme(true)).toContain("Without a key nothing comes back");
    expect(await readme(false)).toContain("not encrypted");
    expect(await readme(false)).not.toContain("CYRVAULT_PASSWORD_FILE");
    for (const text of [await readme(true), await readme(false)]) {
      expect(text).toContain(FACTS.id);
      expect(text).toContain("cyrvault 1.2.3");
      expect(text.split("\n").filter((line) => line.length > 130)).toEqual([]);
    }
  });

  test("gives a name with anything odd in it a page whose name and text are harmless", async () => {
    using site = await serverWithSecrets();
    const { root, runbook } = await backedUp(site);
    const server = "../Mail 'x'\n\u001b[2J.example";
    const [, , page = ""] = await refreshRecovery(site.backend, FACTS, {
      root: { ...root, server },
      runbook,
    });
    expect(page).toMatch(/^recovery\/server-[0-9a-z._-]+-[0-9a-f]{12}\.txt$/);
    const text = (await site.backend.read(page, 1 << 20))?.toString() ?? "";
    expect(text).not.toContain("\u001b");
    expect(text.split("\n")[0]).toBe("The server ../Mail 'x'\\n\\x1b[2J.example");
  });

  test("pages of different servers never share a name", () => {
    const names = [
      "mail",
      "Mail",
      "MAIL",
      "mail ",
      "mail_",
      "ma/il",
      "ma\\il",
      "",
      "ü",
      "ö",
      "x".repeat(300),
    ];
    const pages = names.map(serverPageName);
    expect(new Set(pages.map((page) => page.toLowerCase())).size).toBe(names.length);
    for (const page of pages) expect(page).toMatch(/^server-[0-9a-z._-]{0,100}\.txt$/);
  });
});

async function serverWithSecrets(): Promise<Site> {
  const site = await Site.make();
  site.server.file("etc/imapd.conf", CONF);
  site.server.file("etc/very-private/key.pem", "s3kr3t");
  site.server.file("var/meta/cyrus/.keep", "");
  site.server.add("user.anna.Projekt", ["invoice"]);
  return site;
}

async function backedUp(
  site: Site,
  options: Parameters<Site["backUp"]>[0] = {},
): Promise<{ readonly root: ManifestRoot; readonly runbook: string }> {
  let root: ManifestRoot | undefined;
  const onCommitted = async (made: ManifestRoot): Promise<void> => {
    root = made;
  };
  await site.backUp(options, { onCommitted });
  if (root === undefined) throw new Error("nobody was told of the backup");
  return { root, runbook: runbookForAnyBackup(root) };
}
