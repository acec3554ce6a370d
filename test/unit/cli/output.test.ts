import { EventEmitter } from "node:events";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { CyrvaultError, type ErrorCode } from "../../../src/base/errors.ts";
import type { ProgressSnapshot } from "../../../src/base/progress.ts";
import { parseInterval, parseShare } from "../../../src/cli/commands/backup.ts";
import { checkOptions, parsePercent } from "../../../src/cli/commands/check.ts";
import { EXIT, exitCodeOf } from "../../../src/cli/exit-codes.ts";
import { findingText } from "../../../src/cli/findings-text.ts";
import { counted, humanBytes, humanCount, humanDuration, humanTime } from "../../../src/cli/humanise.ts";
import { jsonLine } from "../../../src/cli/output.ts";
import { parseBytes } from "../../../src/cli/parse-size.ts";
import { progressLine } from "../../../src/cli/progress-display.ts";
import { readSecret } from "../../../src/cli/read-secret.ts";
import { displayWidth, Table } from "../../../src/cli/table.ts";

describe("exit codes", () => {
  const expected: readonly (readonly [ErrorCode, number])[] = [
    ["USAGE", 2],
    ["PASSWORD_NEEDED", 2],
    ["PASSWORD_UNUSED", 2],
    ["REPOSITORY_NOT_FOUND", 10],
    ["LOCKED", 11],
    ["PASSWORD_WRONG", 12],
    ["INTERRUPTED", 130],
    ["REPOSITORY_DAMAGED", 1],
    ["BACKUP_NOT_FOUND", 1],
    ["IO", 1],
  ];
  test.each(expected)("%s is %i", (code, exit) => {
    expect(exitCodeOf(new CyrvaultError(code, "x"))).toBe(exit);
  });
  test("anything unexpected is a failure", () => {
    expect(exitCodeOf(new TypeError("x"))).toBe(EXIT.failed);
    expect(exitCodeOf("x")).toBe(EXIT.failed);
  });
});

describe("figures for people", () => {
  test.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [10_200, "10 KiB"],
    [1_048_575, "1.0 MiB"],
    [1_500_000, "1.4 MiB"],
    [2 ** 40 * 12, "12 TiB"],
  ])("%i bytes are %s", (bytes, text) => {
    expect(humanBytes(bytes)).toBe(text);
  });
  test.each([
    [0, "0.0 s"],
    [9_949, "9.9 s"],
    [9_950, "10 s"],
    [65_000, "1 min 05 s"],
    [3_599_600, "1 h 00 min"],
    [7_500_000, "2 h 05 min"],
    [86_400_000 * 3, "3 d 00 h"],
  ])("%i ms are %s", (ms, text) => {
    expect(humanDuration(ms)).toBe(text);
  });
  test("counts have commas, and words that fit", () => {
    expect(humanCount(1_234_567)).toBe("1,234,567");
    expect(counted(1, "mailbox", "mailboxes")).toBe("1 mailbox");
    expect(counted(1000, "mailbox", "mailboxes")).toBe("1,000 mailboxes");
  });
  test("a time that is none is shown as such", () => {
    expect(humanTime(Number.NaN)).toBe("?");
    expect(humanTime(0)).toMatch(/^(1970-01-01|1969-12-31) \d\d:\d\d$/);
  });
});

test("any value printed as JSON comes back, and holds nothing that upsets a terminal", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })), (value) => {
      const line = jsonLine(value);
      expect(JSON.parse(line)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    }),
  );
  expect(jsonLine({ a: "\u202e\x1b\x9b\u{e0041}" })).toBe('{"a":"\\u202e\\u001b\\u009b\\udb40\\udc41"}');
});

describe("tables", () => {
  async function printed(rows: readonly (readonly string[])[]): Promise<string> {
    let text = "";
    const table = new Table([{ title: "NAME" }, { title: "N", align: "right" }], async (out) => {
      text += out;
    });
    for (const row of rows) await table.row(...row);
    await table.end();
    return text;
  }

  test("columns are as wide as their widest cell, numbers to the right", async () => {
    expect(
      await printed([
        ["a", "1"],
        ["台北", "1000"],
      ]),
    ).toBe("NAME     N\na        1\n台北  1000\n");
  });
  test("cells cannot break out of their line", async () => {
    expect(await printed([["a\nb\x1b[2J", "1"]])).toBe("NAME         N\na\\nb\\x1b[2J  1\n");
  });
  test("without rows there is nothing, and with very many there is one head", async () => {
    expect(await printed([])).toBe("");
    const many = await printed(Array.from({ length: 1200 }, (_, i) => [String(i), "x"]));
    expect(many.match(/NAME/g)).toHaveLength(1);
    expect(many.split("\n")).toHaveLength(1202);
  });
  test("marks take no room", () => {
    expect(displayWidth("e\u0301")).toBe(1);
  });
});

describe("progress", () => {
  const snapshot: ProgressSnapshot = {
    phase: "mailboxes",
    elapsedMs: 5000,
    done: { items: 312, bytes: 2 ** 30 },
    total: { items: 698, bytes: 2 ** 31 },
    rate: { items: 60, bytes: 85 * 2 ** 20 },
    remainingMs: 17_000,
  };
  test("rate and time left are in the line", () => {
    expect(progressLine(snapshot)).toBe(
      "mailboxes: 312 of 698, 1.0 GiB of 2.0 GiB (50 %), 85 MiB/s, 17 s left",
    );
  });
  test("what is not known is not said", () => {
    const line = progressLine({
      ...snapshot,
      done: { items: 3, bytes: 0 },
      total: undefined,
      rate: { items: 0, bytes: 0 },
      remainingMs: undefined,
    });
    expect(line).toBe("mailboxes: 3, 5.0 s");
  });
  test("what is counted is named where the phase's name does not say it, and nothing is where nothing is counted", () => {
    const rate = { items: 3100, bytes: 0 };
    const line = {
      ...snapshot,
      phase: "backups",
      unit: "objects",
      rate,
      total: undefined,
      remainingMs: undefined,
    };
    expect(progressLine({ ...line, done: { items: 7012, bytes: 0 } })).toBe(
      "backups: 7,012 objects, 3,100 objects/s, 5.0 s",
    );
    const data = { ...snapshot, phase: "data", done: { items: 0, bytes: 2 ** 30 } };
    expect(progressLine({ ...data, total: { items: 0, bytes: 2 ** 31 } })).toBe(
      "data: 1.0 GiB of 2.0 GiB (50 %), 85 MiB/s, 17 s left",
    );
    const none = { items: 0, bytes: 0 };
    expect(progressLine({ ...line, phase: "segments", unit: undefined, done: none, rate: none })).toBe(
      "segments: 5.0 s",
    );
  });
  test("where only items count, the share is theirs", () => {
    const total = { items: 10, bytes: 0 };
    const line = progressLine({
      ...snapshot,
      done: { items: 5, bytes: 0 },
      total,
      rate: { items: 2, bytes: 0 },
    });
    expect(line).toBe("mailboxes: 5 of 10 (50 %), 2/s, 17 s left");
  });
});

test.each([
  ["all", 1],
  ["1/30", 1 / 30],
  ["0.1", 0.1],
  ["10%", 0.1],
])("--scrub %s is a share", (text, share) => {
  expect(parseShare(text)).toBeCloseTo(share, 10);
});

test.each([
  ["30s", 30_000],
  ["5m", 300_000],
  ["0.5h", 1_800_000],
])("--checkpoint-interval %s is a time", (text, ms) => {
  expect(parseInterval(text)).toBe(ms);
});

test.each([
  ["100000", 100_000],
  ["64K", 65_536],
  ["500M", 524_288_000],
  ["4G", 4_294_967_296],
  ["64k", 65_536],
  ["500m", 524_288_000],
  ["4g", 4_294_967_296],
])("--checkpoint-bytes %s is a size", (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

test.each(["", "0", "0s", "5", "-1m", "5 m", "5d", "1.2.3s"])(
  "--checkpoint-interval %j is refused",
  (text) => {
    expect(() => parseInterval(text)).toThrow("not a time");
  },
);

test.each(["", "0", "1.5G", "-1", "4GB", "0M", "4T", "4 G", "g"])(
  "--checkpoint-bytes %j is refused",
  (text) => {
    expect(() => parseBytes(text)).toThrow("not a size");
  },
);

test.each([
  [undefined, 0],
  [true, 100],
  ["10", 10],
  ["2.5%", 2.5],
] as const)("--read-data %s is a percentage", (text, percent) => {
  expect(parsePercent(text)).toBe(percent);
});

test.each([
  [{}, { readDataPercent: 0 }],
  [{ readData: true as const }, { readDataPercent: 100 }],
  [{ readData: "all" }, { readDataPercent: 100 }],
  [{ readData: "2/7" }, { readDataPercent: 0, readDataPart: { part: 2, of: 7 } }],
  [{ olderThan: "30d" }, { readDataPercent: 100, olderThanMs: 30 * 86_400_000 }],
  [
    { readData: "10%", maxDuration: "90m" },
    { readDataPercent: 10, maxDurationMs: 90 * 60_000 },
  ],
])("check with %j", (given, options) => {
  expect(checkOptions(given)).toMatchObject(options);
});

test.each([
  { readData: "0" },
  { readData: "101%" },
  { readData: "0/7" },
  { readData: "8/7" },
  { readData: "1/0" },
  { olderThan: "30" },
  { maxDuration: "2 h" },
])("check with %j is refused", (given) => {
  expect(() => checkOptions(given)).toThrow();
});

describe("a password typed at a terminal", () => {
  class Keyboard extends EventEmitter {
    readonly raw: boolean[] = [];
    setRawMode(mode: boolean): this {
      this.raw.push(mode);
      return this;
    }
    resume(): this {
      return this;
    }
    pause(): this {
      return this;
    }
  }

  async function type(
    ...keys: readonly Buffer[]
  ): Promise<{ answer: string; screen: string; raw: boolean[] }> {
    const keyboard = new Keyboard();
    let screen = "";
    const answer = readSecret("Password: ", keyboard as never, {
      write: (text) => {
        screen += text;
      },
    });
    for (const key of keys) keyboard.emit("data", key);
    return { answer: await answer, screen, raw: keyboard.raw };
  }

  test("is not shown, and the terminal is given back", async () => {
    expect(await type(Buffer.from("geheim\r"))).toEqual({
      answer: "geheim",
      screen: "Password: \n",
      raw: [true, false],
    });
  });
  test("can be corrected, and a character may come in pieces", async () => {
    const [first, second] = [Buffer.from("ü").subarray(0, 1), Buffer.from("ü").subarray(1)];
    const { answer } = await type(Buffer.from("nonsense\x15ab\x7f"), first, second, Buffer.from("\x1b\n"));
    expect(answer).toBe("aü");
  });
  test("can be broken off", async () => {
    await expect(type(Buffer.from("ab\x03"))).rejects.toMatchObject({ code: "INTERRUPTED" });
  });
});

test("a finding names the mailbox, too: the path of one that lies by uniqueid says nothing to a person", () => {
  const path = fromText("/spool/uuid/6/0/60ft9ja18b/4.");
  const finding = {
    code: "message-missing",
    severity: "error",
    path,
    message: "gone",
    accepted: false,
  } as const;
  expect(findingText(finding)).toBe("error message-missing /spool/uuid/6/0/60ft9ja18b/4.: gone");
  expect(findingText({ ...finding, mailbox: fromText("user.anna") })).toBe(
    "error message-missing /spool/uuid/6/0/60ft9ja18b/4. (user.anna): gone",
  );
});
