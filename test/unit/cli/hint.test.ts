import { expect, test } from "vitest";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { hintOf } from "../../../src/cli/hint.ts";
import { run } from "./fake-terminal.ts";

test("an error says what to try: its own hint, else that of what is behind it, else that of its code", () => {
  const behind = new CyrvaultError("NO_SPACE", "the disk is full", { hint: "make room" });
  expect(hintOf(new CyrvaultError("IO", "x", { hint: "its own", cause: behind }))).toBe("its own");
  expect(hintOf(new CyrvaultError("IO", "x", { cause: behind }))).toBe("make room");
  expect(hintOf(new CyrvaultError("REPOSITORY_DAMAGED", "x", { cause: new Error("y") }))).toContain(
    "cyrvault check",
  );
  expect(hintOf(new TypeError("x"))).toContain("a bug in cyrvault");
});

test("a wrong word in an option comes with a hint too, as text and as JSON", async () => {
  const { code, stderr } = await run(["rebuild-index", "--repo", "/nowhere", "--from", "air", "--json"]);
  expect(code).toBe(2);
  expect(stderr).toContain("\n  hint: the command with --help shows what it takes\n");
  expect(JSON.parse(stderr.trim().split("\n").at(-1) ?? "")).toMatchObject({
    type: "error",
    code: "USAGE",
    hint: "the command with --help shows what it takes",
  });
});
