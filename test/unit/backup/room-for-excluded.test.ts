import { expect, test } from "vitest";
import { requireRoomFor } from "../../../src/backup/room-for-excluded.ts";
import { fromText } from "../../../src/base/byte-string.ts";

function* names(count: number) {
  for (let i = 0; i < count; i++) yield fromText(`user.somebody${i}`);
}

test("more excluded mailboxes than a manifest root can name are refused before anything is read", () => {
  expect(() => requireRoomFor(names(50_000))).not.toThrow();
  expect(() => requireRoomFor(names(130_000))).toThrow(
    expect.objectContaining({ code: "USAGE", message: expect.stringContaining("130000 mailboxes") }),
  );
});
