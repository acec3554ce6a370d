import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backupIdTimeMs, isBackupId, newBackupId } from "../../../src/manifest/backup-id.ts";
import { type FromWall, localTime, parseMoment } from "../../../src/manifest/moment.ts";
import { type SelectOptions, selectBackup } from "../../../src/manifest/select-backup.ts";
import { answersOrRefuses } from "./support.ts";

const at = (iso: string) => Date.parse(iso);
/** Two hours east of Greenwich, always. */
const eastern: FromWall = (w) => Date.UTC(w.year, w.month - 1, w.day, w.hour - 2, w.minute, w.second, w.ms);
const nowMs = at("2026-11-21T12:00:00Z");

describe("ids of backups", () => {
  test("say when, and sort by it", () => {
    expect(newBackupId(at("2026-11-20T03:00:59.999Z"), Uint8Array.of(0x1a, 0x2b, 0x3c, 0x4d))).toBe(
      "20261120T030059Z-1a2b3c4d",
    );
    const times = fc.integer({ min: 0, max: at("9999-12-31T00:00:00Z") });
    fc.assert(
      fc.property(times, times, (a, b) => {
        const [first, second] = [newBackupId(a), newBackupId(b)];
        expect(backupIdTimeMs(first)).toBe(Math.floor(a / 1000) * 1000);
        if (Math.floor(a / 1000) < Math.floor(b / 1000)) expect(first < second).toBe(true);
      }),
    );
  });

  test("are two for two backups of one moment", () => {
    expect(newBackupId(0)).not.toBe(newBackupId(0));
  });

  test.each([
    "",
    "latest",
    "20261120T030059Z",
    "20261120T030059Z-1A2B3C4D",
    "20261320T030059Z-1a2b3c4d",
    "../x",
  ])("«%s» is none", (text) => expect(isBackupId(text)).toBe(false));
});

describe("moments", () => {
  const parse = (text: string) => parseMoment(text, nowMs, eastern);

  test.each([
    ["2026-11-20", "2026-11-20T21:59:59.999Z"],
    ["2026-11-20T03:00", "2026-11-20T01:00:00.999Z"],
    ["2026-11-20 03:00", "2026-11-20T01:00:00.999Z"],
    ["2026-11-20T03:00:30", "2026-11-20T01:00:30.999Z"],
    ["2026-11-20T03:00:30.5", "2026-11-20T01:00:30.500Z"],
    ["2026-11-20T03:00Z", "2026-11-20T03:00:00.999Z"],
    ["2026-11-20T03:00:30+01:00", "2026-11-20T02:00:30.999Z"],
    ["2026-11-20 03:00:30 -0530", "2026-11-20T08:30:30.999Z"],
    ["2d", "2026-11-19T12:00:00.000Z"],
    ["3h", "2026-11-21T09:00:00.000Z"],
    ["90m", "2026-11-21T10:30:00.000Z"],
    ["1w", "2026-11-14T12:00:00.000Z"],
  ])("%s is %s", (text, iso) => expect(new Date(parse(text) ?? 0).toISOString()).toBe(iso));

  test.each([
    "",
    "2026",
    "2026-13-01",
    "2026-02-30",
    "2026-11-20T24:00",
    "2026-11-20T3:00",
    "2026-11-20Z",
    "2y",
    "-2d",
  ])("«%s» is none", (text) => expect(parse(text)).toBeUndefined());

  test("are local where no zone is given", () => {
    const expected = new Date(2026, 6, 1, 3, 0, 0, 999).getTime();
    expect(parseMoment("2026-07-01T03:00", nowMs, localTime)).toBe(expected);
    expect(parseMoment("2026-07-01T03:00", nowMs)).toBe(expected);
  });
});

describe("selectBackup()", () => {
  const backup = (id: string, server = "a") => ({ backup: id, server, timeMs: backupIdTimeMs(id) ?? 0 });
  const one = [
    backup("20261118T030000Z-11111111"),
    backup("20261120T030000Z-33333333"),
    backup("20261119T030000Z-22222222"),
    backup("20261119T030000Z-2222aaaa"),
  ];
  const two = [...one, backup("20261121T030000Z-44444444", "b")];
  const select = (list: typeof one, selector: string, options: Partial<SelectOptions> = {}) =>
    selectBackup(list, selector, { nowMs, fromWall: eastern, ...options }).backup;
  const refuses = (code: string, text?: string) =>
    expect.objectContaining(text === undefined ? { code } : { code, hint: expect.stringContaining(text) });

  test.each([
    ["latest", "20261120T030000Z-33333333"],
    ["20261118T030000Z-11111111", "20261118T030000Z-11111111"],
    ["20261118", "20261118T030000Z-11111111"],
    ["20261119T030000Z-2222a", "20261119T030000Z-2222aaaa"],
    ["@2026-11-19", "20261119T030000Z-2222aaaa"],
    ["@2026-11-20T05:00", "20261120T030000Z-33333333"],
    ["@2026-11-20T04:59", "20261119T030000Z-2222aaaa"],
    ["@2026-11-20T03:00Z", "20261120T030000Z-33333333"],
    ["@2d", "20261119T030000Z-2222aaaa"],
  ])("%s is %s", (selector, id) => expect(select(one, selector)).toBe(id));

  test("finds a backup by the second that a list shows, though it was taken within it", () => {
    const late = [
      { backup: "20261120T030000Z-33333333", server: "a", timeMs: at("2026-11-20T03:00:00.700Z") },
    ];
    expect(select(late, "@2026-11-20T03:00:00Z")).toBe("20261120T030000Z-33333333");
  });

  test("says what is wrong", () => {
    expect(() => select(one, "20261119")).toThrow(refuses("BACKUP_AMBIGUOUS", "20261119T030000Z-2222aaaa"));
    expect(() => select(one, "2025")).toThrow(refuses("BACKUP_NOT_FOUND"));
    expect(() => select(one, "@2026-11-17")).toThrow(refuses("BACKUP_NOT_FOUND", "2026-11-18"));
    expect(() => select([], "latest")).toThrow(refuses("BACKUP_NOT_FOUND"));
    expect(() => select(one, "@yesterday")).toThrow(refuses("USAGE"));
    expect(() => select(one, "")).toThrow(refuses("USAGE"));
    expect(() => select(one, "../../etc")).toThrow(refuses("USAGE"));
    expect(() => select(one, "latest", { server: "c" })).toThrow(refuses("BACKUP_NOT_FOUND", "a"));
  });

  test("wants to know the server where there are several and the id does not say it", () => {
    expect(() => select(two, "latest")).toThrow(refuses("USAGE", "a, b"));
    expect(() => select(two, "@2d")).toThrow(refuses("USAGE", "a, b"));
    expect(select(two, "latest", { server: "a" })).toBe("20261120T030000Z-33333333");
    expect(select(two, "latest", { server: "b" })).toBe("20261121T030000Z-44444444");
    expect(select(two, "20261121")).toBe("20261121T030000Z-44444444");
    expect(() => select(two, "20261121", { server: "a" })).toThrow(refuses("BACKUP_NOT_FOUND"));
  });

  test("answers or refuses, whatever it is given", () => {
    fc.assert(fc.property(fc.string(), (text) => answersOrRefuses(() => select(two, text))));
    fc.assert(fc.property(fc.string(), (text) => answersOrRefuses(() => select(two, `@${text}`))));
    fc.assert(fc.property(fc.nat(999_999), (n) => answersOrRefuses(() => select(one, `@${n}w`))));
  });
});
