import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { readDatabase } from "../../../src/cyrus/database.ts";
import { INTERNAL_UNLINKED } from "../../../src/cyrus/flags.ts";
import { parseIndex } from "../../../src/cyrus/index-reader.ts";
import { readMailboxList } from "../../../src/cyrus/mailbox-list.ts";
import { type ExportOptions, planExport } from "../../../src/export/plan.ts";
import { runExport } from "../../../src/export/run.ts";
import { mailboxPages } from "../../../src/manifest/mailbox-page.ts";
import type { MailboxEntry } from "../../../src/manifest/model.ts";
import { readPageTree } from "../../../src/manifest/read-page-tree.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { compareTrees, readTree } from "../../support/tree-compare.ts";
import {
  backUp,
  makeServer,
  openStored,
  readRoot,
  restoreOptions,
  restoreTo,
  type Stored,
} from "./restore-fixture.ts";

async function mailboxesOf({ files, backup }: Stored): Promise<MailboxEntry[]> {
  const repository = await openStored(files);
  const { mailboxes } = await readRoot(repository, backup.backup);
  const found: MailboxEntry[] = [];
  for await (const entry of readPageTree(mailboxes, repository.objects, mailboxPages)) found.push(entry);
  return found;
}

/** An archive, unpacked there. @returns the codes of its findings. */
async function exportTo(
  target: string,
  { files, backup }: Stored,
  given: Pick<ExportOptions, "excluded"> = {},
): Promise<string[]> {
  const repository = await openStored(files);
  const root = await readRoot(repository, backup.backup);
  const { target: _, overwrite: __, ...options } = restoreOptions("/");
  const parts: Buffer[] = [];
  const { findings } = await runExport(await planExport({ ...options, ...given }, root, repository.objects), {
    source: repository.objects,
    sink: async (bytes) => void parts.push(Buffer.from(bytes)),
    clock: systemClock,
    progress: new Progress(),
  });
  mkdirSync(target);
  execFileSync("tar", ["-xpf", "-", "-C", target], { input: Buffer.concat(parts) });
  return findings.map(({ code }) => code);
}

/** Directories above the roots are nobody's. */
function expectSameServer(server: string, restored: string, unpacked: string): void {
  for (const part of ["conf", "spool"])
    expect(
      compareTrees(readTree(join(restored, server, part)), readTree(join(unpacked, server, part))),
    ).toEqual([]);
}

function indexPath({ directories }: MailboxEntry): string {
  return join(directories[0]?.path ?? "", "cyrus.index");
}

test("what a filter left out is expunged in the restored server: a backup of that finds nothing wrong", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  const whole = await backUp(server);
  const stored = await backUp(server, new Map(), { filter: { excludeLarger: 3000 } });
  const leftOut = whole.backup.messages.total - stored.backup.messages.total;
  expect(leftOut).toBeGreaterThan(3);
  expect(stored.backup.messages.total).toBeGreaterThan(3);

  const target = dir.in("restored");
  const restored = await restoreTo(target, stored);
  expect(restored.findings.map(({ code }) => code)).toEqual(["messages-left-out"]);
  const again = await backUp(server, new Map(), { root: fromText(target) });
  expect(again.backup.findings).toEqual([]);
  expect(again.backup.messages.total).toBe(stored.backup.messages.total);
  let unlinked = 0;
  for (const mailbox of await mailboxesOf(again)) {
    const { header, records } = parseIndex(readFileSync(join(target, indexPath(mailbox))));
    expect(header.exists).toBeLessThanOrEqual(mailbox.messages);
    unlinked += records.filter(({ flagWord }) => (flagWord & INTERNAL_UNLINKED) !== 0).length;
  }
  expect(unlinked).toBeGreaterThanOrEqual(leftOut);

  const unpacked = dir.in("unpacked");
  await exportTo(unpacked, stored);
  expectSameServer(server, target, unpacked);

  const raw = dir.in("raw");
  await restoreTo(raw, stored, { rawIndex: true });
  for (const mailbox of await mailboxesOf(stored))
    expect(readFileSync(join(raw, indexPath(mailbox)))).toEqual(readFileSync(indexPath(mailbox)));
});

test("an excluded mailbox comes back empty, or not at all", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  const all = await mailboxesOf(await backUp(server));
  const excluded = all.find(({ messages }) => messages > 2);
  if (excluded === undefined) throw new Error("no mailbox with messages");
  const list = "conf/mailboxes.db";
  const olderList = "conf/db.backup1/mailboxes.db";
  mkdirSync(join(server, "conf/db.backup1"), { recursive: true });
  copyFileSync(join(server, list), join(server, olderList));
  const stored = await backUp(server, new Map(), { excludeMailboxes: [excluded.name] });

  const empty = dir.in("empty");
  const restored = await restoreTo(empty, stored);
  expect(restored.findings).toMatchObject([{ code: "excluded-empty", severity: "note" }]);
  expect(restored.findings[0]?.message).toContain(excluded.name);
  expect(stored.backup.leftOut).toMatchObject({ mailboxes: 1, messages: 0 });
  const { header, records } = parseIndex(readFileSync(join(empty, indexPath(excluded))));
  expect(header).toMatchObject({ exists: 0, quotaMailboxUsed: 0n, uidValidity: excluded.uidvalidity });
  expect(records.every(({ flagWord }) => (flagWord & INTERNAL_UNLINKED) !== 0)).toBe(true);
  const again = await backUp(server, new Map(), { root: fromText(empty) });
  expect(again.backup.findings).toEqual([]);

  const absent = dir.in("absent");
  await restoreTo(absent, stored, { excluded: "absent" });
  expect(existsSync(join(absent, indexPath(excluded)))).toBe(false);
  const others = all.filter(({ name }) => name !== excluded.name);
  expect(others.map((mailbox) => existsSync(join(absent, indexPath(mailbox))))).toEqual(
    others.map(() => true),
  );
  // Its name is not in the list that comes back; without the option it is.
  const listOf = (target: string) => {
    const database = readDatabase(readFileSync(join(target, server, list)));
    if (!database.readable) throw new Error("the mailbox list cannot be read");
    return [...readMailboxList(database.records)].flatMap((item) =>
      item.kind === "entry" ? [item.entry.name] : [],
    );
  };
  expect(listOf(absent)).toEqual(listOf(empty).filter((name) => name !== excluded.name));
  expect(listOf(empty)).toContain(excluded.name);
  expect(readFileSync(join(absent, server, olderList)), "Cyrus's own copy").toEqual(
    readFileSync(join(server, olderList)),
  );

  const [unpackedEmpty, unpackedAbsent] = [dir.in("unpacked-empty"), dir.in("unpacked-absent")];
  expect(await exportTo(unpackedEmpty, stored)).toEqual(["excluded-empty"]);
  expect(await exportTo(unpackedAbsent, stored, { excluded: "absent" })).toEqual([]);
  expectSameServer(server, empty, unpackedEmpty);
  expectSameServer(server, absent, unpackedAbsent);
  expect(existsSync(join(unpackedAbsent, indexPath(excluded)))).toBe(false);
  expect(listOf(unpackedAbsent)).not.toContain(excluded.name);
});
