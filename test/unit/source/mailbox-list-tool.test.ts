import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { dumpMailboxList } from "../../../src/source/mailbox-list-tool.ts";
import { tempDir } from "../../support/temp-dir.ts";

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

function tool(path: string, script: string): string {
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe("dumpMailboxList()", () => {
  test("runs the site's tool on a copy and takes what it prints", () => {
    using dir = tempDir();
    const list = Buffer.from("\xa1\x02\x8b\x0dtwomfile rest", "latin1");
    const script = `echo "$@" > ${dir.path}/called; cat "$5" > ${dir.path}/seen; echo 'user.anna\t0 default anna\tlrs\t'`;
    const answer = dumpMailboxList({
      list,
      owner,
      configPath: fromText("/etc/imapd.conf"),
      tools: [`${dir.path}/absent`, tool(dir.in("ctl_mboxlist"), script)],
    });
    expect(answer).toMatchObject({ tool: dir.in("ctl_mboxlist") });
    expect("text" in answer && answer.text.toString()).toContain("user.anna");
    expect(readFileSync(dir.in("seen")).equals(list)).toBe(true);
    const called = readFileSync(dir.in("called"), "utf8");
    expect(called).toMatch(/^-C \/etc\/imapd\.conf -d -f .+mailboxes\.db\n$/);
    const copy = called.trim().split(" ").at(-1) as string;
    expect(statSync(copy, { throwIfNoEntry: false })).toBeUndefined();
  });

  test("says what the tool said when it fails", () => {
    using dir = tempDir();
    const failing = tool(dir.in("ctl_mboxlist"), "echo 'fatal error: unknown engine' >&2; exit 75");
    const answer = dumpMailboxList({
      list: Buffer.alloc(4),
      owner,
      configPath: fromText("/x"),
      tools: [failing],
    });
    expect("problem" in answer && answer.problem).toContain("fatal error: unknown engine");
  });

  test("says that there is no tool", () => {
    const answer = dumpMailboxList({ list: Buffer.alloc(4), owner, configPath: fromText("/x"), tools: [] });
    expect("problem" in answer && answer.problem).toContain("no ctl_mboxlist");
  });
});
