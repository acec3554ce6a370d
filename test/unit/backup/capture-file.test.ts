import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { FileCapture } from "../../../src/backup/capture-file.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import { errnoError, ioError } from "../../../src/base/io-error.ts";
import { statNoFollow } from "../../../src/base/posix-stat.ts";
import { tempDir } from "../../support/temp-dir.ts";

const EIO = 5;

test("what is wrong with the repository is no finding about a file", async () => {
  using dir = tempDir();
  writeFileSync(dir.in("file"), "x".repeat(100_000));
  const findings: string[] = [];
  const sink = {
    put: () => Promise.reject(ioError("cannot read a segment", errnoError(EIO, "read"))),
  };
  const capture = new FileCapture(sink, {
    add: (code) => {
      findings.push(code);
      return { accepted: false };
    },
  });
  const path = fromText(dir.in("file"));
  const { stat } = statNoFollow(path) ?? {};
  if (stat === undefined) throw new Error("the file is not there");
  const captured = capture.capture({ path, realPath: path, stat, before: undefined });
  await expect(captured).rejects.toMatchObject({ code: "IO", message: expect.stringContaining("segment") });
  expect(findings).toEqual([]);
});
