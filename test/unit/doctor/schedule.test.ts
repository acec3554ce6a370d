import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { judgeSchedule } from "../../../src/doctor/judge-schedule.ts";
import { parseCyrusConf, scheduledByCron, scheduledByCyrus } from "../../../src/doctor/schedule.ts";
import { configured } from "./made-up-host.ts";

const DAY = 86_400;
const CYRUS_CONF = `
START {
  recover cmd="ctl_cyrusdb -r"
}
SERVICES {
  imap   cmd="imapd -U 30" listen="imap" prefork=0
  sync   cmd="sync_server" listen="csync"
}
# EVENTS { a comment
EVENTS {
  checkpoint cmd="ctl_cyrusdb -c" period=30
  # delprune cmd="cyr_expire -X 0" at=0300
  delprune cmd="/usr/sbin/cyr_expire -E 4 -D 28" at=0401
  expunge  cmd="cyr_expire -E 4 -X 12h" at=0402
}
`;

function judge(...commands: string[]) {
  const schedule = commands.map((command) => ({ where: "cyrus.conf EVENTS e", when: "at 04:00", command }));
  return judgeSchedule(schedule, { expungeMode: "delayed", deleteMode: "delayed" }, DAY);
}

describe("cyrus.conf and crontabs", () => {
  test("commands are found in their sections, with their times, and comments are not", () => {
    const found = scheduledByCyrus(parseCyrusConf(fromText(CYRUS_CONF)));
    expect(found.map(({ when, command }) => [when, command])).toEqual([
      ["when Cyrus starts", "ctl_cyrusdb -r"],
      ["every 30 minutes", "ctl_cyrusdb -c"],
      ["at 04:01", "/usr/sbin/cyr_expire -E 4 -D 28"],
      ["at 04:02", "cyr_expire -E 4 -X 12h"],
    ]);
  });

  test("services are entries and nothing that is scheduled", () => {
    const sync = parseCyrusConf(fromText(CYRUS_CONF)).find(({ name }) => name === "sync");
    expect(sync).toMatchObject({ section: "SERVICES", command: "sync_server" });
  });

  test("of a crontab, lines that start a tool of Cyrus are taken", () => {
    const text = fromText(
      "# cyr_expire\nPATH=/usr/bin\n17 * * * * root run-parts hourly\n5 3 * * 1-5 cyrus /usr/lib/cyrus/bin/cyr_expire -X 3\n@daily cyrus ipurge -d 30 user.spam\n",
    );
    expect(scheduledByCron("/etc/crontab", text)).toEqual([
      { where: "/etc/crontab", when: "at 5 3 * * 1-5", command: "/usr/lib/cyrus/bin/cyr_expire -X 3" },
      { where: "/etc/crontab", when: "at @daily", command: "ipurge -d 30 user.spam" },
    ]);
  });
});

describe("how long deleted mail is kept", () => {
  test.each([
    ["cyr_expire -E 4 -X 12h", "warning"],
    ["cyr_expire -E 4 -D 0", "warning"],
    ["cyr_expire -X 0.5", "warning"],
    ["cyr_expire -X1d", "ok"],
    ["/usr/lib/cyrus/bin/cyr_expire -D 28 -v", "ok"],
    ["su cyrus -c 'cyr_expire -E 3 -X 1d12h'", "ok"],
  ])("%s is %s for a backup a day", (command, severity) => {
    const windows = judge(command).filter(({ code }) => code === "expire-window");
    expect(windows.map((check) => check.severity)).toEqual([severity]);
  });

  test("a command without -D and -X removes nothing, and another program's options are none of ours", () => {
    expect(judge("cyr_expire -E 4", "squatter -X 0").filter(({ code }) => code === "expire-window")).toEqual(
      [],
    );
  });

  test("with backups a week apart, three days are too short", () => {
    const schedule = [{ where: "w", when: "at 1", command: "cyr_expire -X 3" }];
    const layout = { expungeMode: "delayed", deleteMode: "delayed" };
    const severities = (interval: number) =>
      judgeSchedule(schedule, layout, interval).find(({ code }) => code === "expire-window")?.severity;
    expect([severities(DAY), severities(7 * DAY)]).toEqual(["ok", "warning"]);
  });

  test("the times of housekeeping are listed, but not what runs at the start only", () => {
    const schedule = scheduledByCyrus(
      parseCyrusConf(
        fromText('START {\n a cmd="cyr_expire -E 3"\n}\nEVENTS {\n b cmd="squatter" at=0517\n}\n'),
      ),
    );
    const [check] = judgeSchedule(schedule, { expungeMode: "delayed", deleteMode: "delayed" }, DAY);
    expect(check).toMatchObject({ code: "housekeeping-times", severity: "note" });
    expect(check?.message).toMatch(/: squatter at 05:17$/);
  });

  test("an expunge at once is noted", () => {
    const { layout } = configured("expunge_mode: immediate");
    expect(judgeSchedule([], layout, DAY).map(({ code }) => code)).toEqual(["expunge-immediate"]);
  });
});
