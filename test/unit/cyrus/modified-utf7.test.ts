import { expect, test } from "vitest";
import { fromModifiedUtf7, toModifiedUtf7 } from "../../../src/cyrus/modified-utf7.ts";

test.each([
  ["user.anna.Work", "user.anna.Work"],
  ["user.anna.Größe", "user.anna.Gr&APYA3w-e"],
  ["台北", "&U,BTFw-"],
  ["😀", "&2D3eAA-"],
  ["Gr&APY-&AN8-e", "Gr&APY-&AN8-e"],
])("%s becomes %s", (text, expected) => {
  expect(toModifiedUtf7(text)).toBe(expected);
});

test("what was encoded is decoded again, and what is none stays", () => {
  for (const text of ["user.anna.Größe", "台北", "😀", "plain"])
    expect(fromModifiedUtf7(toModifiedUtf7(text))).toBe(text);
  expect(fromModifiedUtf7("R&-D")).toBe("R&D");
  expect(fromModifiedUtf7("a&b")).toBe("a&b");
});
