import { expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { judgeProcesses, type ProcessesInput } from "../../../src/doctor/judge-processes.ts";
import type { HostStat } from "../../../src/source/host/host-facts.ts";
import { mastersElsewhere, runningMasters } from "../../../src/source/host/running-master.ts";
import { configured, madeUpHost, process, root } from "./made-up-host.ts";

const FILE: HostStat = { type: "file", device: 1n, inode: 5n, uid: 106 };
const PROCESSES = [
  process(1, 0, 0, "/sbin/init"),
  process(50, 1, 0, "/usr/lib/postfix/sbin/master", "-w"),
  process(70, 1, 0, "/usr/sbin/cyrmaster", "-l", "32", "-C", "/etc/imapd.conf", "-M", "/etc/cyrus.conf"),
  process(71, 70, 106, "imapd", "-U", "30"),
  process(90, 1, 106, "cyr_expire", "-X", "3"),
  process(91, 1, 500, "bash"),
];

function judge(
  open: Readonly<Record<number, readonly string[] | undefined>>,
  given: Partial<ProcessesInput> = {},
) {
  const facts = madeUpHost({
    processes: PROCESSES,
    openFiles: (pid) => (pid in open ? open[pid]?.map(fromText) : []),
    stat: () => FILE,
  });
  return judgeProcesses({
    facts,
    masters: runningMasters(PROCESSES),
    others: [],
    owner: 106,
    roots: [root("config", "/var/lib/cyrus"), root("partition", "/spool", "default")],
    layout: configured("duplicate_db_path: /ram/deliver.db").layout,
    isMapped: false,
    ...given,
  });
}

test.each([
  [["/usr/sbin/cyrmaster", "-d", "-C", "/etc/a.conf"], "/etc/a.conf", undefined],
  [["/usr/cyrus/bin/master", "-dC/etc/a.conf", "-M/etc/c.conf"], "/etc/a.conf", "/etc/c.conf"],
  [["/usr/cyrus/bin/master", "-d"], "/etc/imapd.conf", undefined],
  [["cyrmaster", "-p", "-C", "-M", "/c.conf"], "/etc/imapd.conf", "/c.conf"],
])("the command line %j names %s", (args, config, cyrusConf) => {
  expect(runningMasters([process(9, 1, 0, ...args)])).toEqual([{ pid: 9, config, cyrusConf }]);
});

test("a Cyrus with another imapd.conf than the usual one is seen, unless there is one with that too", () => {
  const other = process(8, 1, 0, "cyrmaster", "-C", "/etc/two.conf");
  expect(mastersElsewhere([other]).map(({ config }) => config)).toEqual(["/etc/two.conf"]);
  expect(mastersElsewhere([other], fromText("/etc/two.conf"))).toEqual([]);
  expect(mastersElsewhere([...PROCESSES, other])).toEqual([]);
});

test("Postfix's master, and a shell that speaks of Cyrus, are no Cyrus", () => {
  expect(
    runningMasters([
      PROCESSES[1] as never,
      process(3, 1, 0, "grep", "cyrmaster"),
      process(4, 1, 0, "master"),
    ]),
  ).toEqual([]);
});

test("a file that Cyrus holds open outside of everything is a warning", () => {
  const checks = judge({ 71: ["/spool/user/a/cyrus.index", "/data/odd.db"], 91: ["/home/me/notes"] });
  expect(checks.map(({ code, severity, path }) => [code, severity, path])).toEqual([
    ["cyrus-running", "note", undefined],
    ["open-outside", "warning", "/data/odd.db"],
  ]);
});

test("a process of the server's user counts, whoever started it", () => {
  expect(judge({ 90: ["/data/x"] }).map(({ code }) => code)).toContain("open-outside");
});

test("sockets, system places, runtime files and what is deleted are nothing to keep", () => {
  const nothing = [
    "socket:[1]",
    "/dev/null",
    "/var/log/mail.log",
    "/ram/deliver.db",
    "/var/lib/cyrus/lock/x",
    "/x (deleted)",
  ];
  expect(judge({ 71: nothing }).map(({ code }) => code)).toEqual(["cyrus-running"]);
});

test("what this user may not see is said", () => {
  const checks = judge({ 70: undefined, 71: undefined });
  expect(checks.at(-1)).toMatchObject({ code: "processes-not-visible", severity: "note" });
  expect(checks.at(-1)?.message).toContain("2 of 3");
});

test("what another Cyrus of this machine holds open is not this one's, though both have one user", () => {
  const processes = [
    ...PROCESSES,
    process(80, 1, 0, "/usr/sbin/cyrmaster", "-C", "/etc/two.conf"),
    process(81, 80, 106, "imapd"),
  ];
  const masters = runningMasters(processes);
  const checks = judge(
    {},
    {
      facts: madeUpHost({
        processes,
        openFiles: (pid) => (pid === 71 ? ["/data/odd.db"] : pid === 81 ? ["/two/x.db"] : []).map(fromText),
        stat: () => FILE,
      }),
      masters: masters.filter(({ pid }) => pid === 70),
      others: masters.filter(({ pid }) => pid === 80),
    },
  );
  expect(checks.flatMap(({ path }) => path ?? [])).toEqual(["/data/odd.db"]);
});

test("the file with master's number is nothing to keep", () => {
  const processes = [process(70, 1, 0, "/usr/sbin/cyrmaster", "-p", "/srv/cyrus/master.pid")];
  const facts = madeUpHost({
    processes,
    openFiles: () => [fromText("/srv/cyrus/master.pid")],
    stat: () => FILE,
  });
  expect(judge({}, { facts, masters: runningMasters(processes) }).map(({ code }) => code)).toEqual([
    "cyrus-running",
  ]);
});
