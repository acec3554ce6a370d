import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { runDoctor } from "../../../src/doctor/run.ts";
import { generateServer } from "../../../src/sample/generate.ts";
import type { HostFacts } from "../../../src/source/host/host-facts.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { madeUpHost, mountInfo, process } from "./made-up-host.ts";

const dir = tempDir();
const config = dir.in("server/etc/imapd.conf");
const list = dir.in("server/conf/mailboxes.db");
beforeAll(() => {
  generateServer(dir.in("server"), { users: 2, foldersPerUser: 2, messages: 20 });
});
afterAll(() => dir.remove());

function examine(facts: Partial<HostFacts>, given?: string) {
  return runDoctor(
    {
      config: given === undefined ? undefined : fromText(given),
      root: fromText("/"),
      mappings: [],
      intervalSeconds: 86_400,
      repository: undefined,
      repositoryDirectory: undefined,
      secretFile: undefined,
    },
    madeUpHost(facts),
  );
}

/** What is found with other bytes in the place of the mailbox list. */
function withList(bytes: (original: Buffer) => Uint8Array) {
  const original = readFileSync(list);
  writeFileSync(list, bytes(original));
  try {
    return examine({}, config);
  } finally {
    writeFileSync(list, original);
  }
}

test("without --config, that of the running Cyrus is taken, and its cyrus.conf", () => {
  const cyrusConf = '# made up\nEVENTS {\n  e cmd="cyr_expire -D 0" at=0100\n}\n';
  const report = examine({
    processes: [process(5, 1, 0, "cyrmaster", "-C", config, "-M", config.replace("imapd", "cyrus"))],
    readFile: (path) => (path.endsWith("/cyrus.conf") ? Buffer.from(cyrusConf) : undefined),
  });
  expect(report.config).toBe(config);
  expect(report.checks).toContainEqual(expect.objectContaining({ code: "cyrus-running", severity: "note" }));
  expect(report.checks).toContainEqual(
    expect.objectContaining({ code: "expire-window", severity: "warning" }),
  );
});

test("a Cyrus with another configuration than the one that is named is noted, several without --config are a warning", () => {
  const processes = [process(5, 1, 0, "cyrmaster", "-C", "/etc/other.conf")];
  expect(examine({ processes }, config).checks).toContainEqual(
    expect.objectContaining({ code: "config-other-server", severity: "note" }),
  );
  const two = [process(4, 1, 0, "cyrmaster", "-C", config), ...processes];
  expect(examine({ processes: two }).checks[0]).toMatchObject({
    code: "several-masters",
    severity: "warning",
  });
});

test("the command says that it has to be told how to stop a Cyrus that no service runs", () => {
  const command = (cgroup: string | undefined) =>
    examine({
      processes: [process(5, 1, 0, "cyrmaster", "-C", config)],
      run: (program, [path]) => (program === "cat" && path === "/proc/5/cgroup" ? cgroup : undefined),
    }).command;
  expect(command("0::/user.slice/session-1.scope\n")).toMatch(/ --stop-command STOP --start-command START$/);
  expect(command("0::/system.slice/cyrus-imapd.service\n")).toMatch(/ --quiesce stop$/);
  expect(command(undefined)).toMatch(/ --quiesce stop$/);
});

test("a filesystem inside a root is covered by the command, too", () => {
  const point = dir.in("server/spool/uuid");
  const report = examine(
    { mountInfo: mountInfo(["/", "zfs", "tank/root"], [point, "zfs", "tank/mail"]) },
    config,
  );
  expect(report.notCovered).toContainEqual(expect.objectContaining({ path: point }));
  expect(report.command).toContain("--snapshot zfs");
});

test("a Berkeley mailbox list is named as one", () => {
  const berkeley = Buffer.alloc(8192);
  berkeley.writeUInt32LE(0x053162, 12);
  const report = withList(() => berkeley);
  expect(report.checks).toContainEqual(
    expect.objectContaining({ code: "berkeley-database", severity: "warning" }),
  );
  expect(report.estimate).toBeNull();
});

test("a damaged mailbox list is an error", () => {
  const report = withList((original) => original.subarray(0, Math.floor(original.length / 2)));
  expect(report.checks.filter(({ severity }) => severity === "error").map(({ code }) => code)).toHaveLength(
    1,
  );
  expect(report.checks.map(({ code }) => code).join()).toMatch(/mailbox-list-(damaged|unreadable)/);
});
