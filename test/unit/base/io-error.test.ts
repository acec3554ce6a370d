import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { causeCode, errnoError, ioError } from "../../../src/base/io-error.ts";

test("ioError() says what, then why, and keeps the system's code", () => {
  let cause: unknown;
  try {
    readFileSync("/no/such/file");
  } catch (error) {
    cause = error;
  }
  const error = ioError("cannot read /no/such/file", cause, { attempt: 1 });
  expect(error.message).toBe("cannot read /no/such/file: ENOENT: no such file or directory");
  expect(error).toMatchObject({ code: "IO", context: { attempt: 1, system: "ENOENT" }, cause });
  expect(causeCode(error)).toBe("ENOENT");
  expect(causeCode(cause)).toBe("ENOENT");
});

test("ioError() tells a full disk and an exhausted quota from other failures", () => {
  expect(ioError("x", errnoError(28, "write"))).toMatchObject({
    code: "NO_SPACE",
    hint: expect.stringContaining("make room"),
  });
  expect(ioError("x", errnoError(122, "write")).code).toBe("NO_SPACE");
  expect(ioError("x", errnoError(5, "write"))).toMatchObject({
    code: "IO",
    context: { system: "EIO" },
    hint: undefined,
  });
  expect(ioError("x", errnoError(9876, "write")).context).toEqual({ system: "E9876" });
});

test("ioError() hands an error of ours back as it is, and takes anything else", () => {
  const ours = new CyrvaultError("NAME_EXISTS", "x");
  expect(ioError("y", ours)).toBe(ours);
  expect(ioError("y", "just text")).toMatchObject({ code: "IO", message: "y: just text", context: {} });
  expect(causeCode(ioError("y", new Error("no code")))).toBeUndefined();
});
