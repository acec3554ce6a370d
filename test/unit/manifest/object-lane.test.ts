import { expect, test } from "vitest";
import { laneOfObject } from "../../../src/manifest/object-lane.ts";
import { INNER, PAGE_KINDS } from "../../../src/manifest/page-codec.ts";

const page = (kind: number) => Uint8Array.of(kind, 1, 2, 3);

test("pages of messages, leaves and inner ones, are with what is read of a mailbox", () => {
  for (const byte of [PAGE_KINDS.messages, PAGE_KINDS.messages | INNER])
    expect(laneOfObject({ kind: "manifest", head: page(byte) })).toBe("mailbox");
});

test("all other pages are with what every run reads", () => {
  for (const [name, byte] of Object.entries(PAGE_KINDS))
    if (name !== "messages") expect(laneOfObject({ kind: "manifest", head: page(byte) }), name).toBe("page");
});

test("a small file's content goes by its company", () => {
  expect(laneOfObject({ kind: "meta", head: page(1) })).toBe("text");
  expect(laneOfObject({ kind: "meta", head: page(1) }, true)).toBe("mailbox");
});

test("messages are texts, parts go by what they are", () => {
  expect(laneOfObject({ kind: "message", head: page(1) }, true)).toBe("text");
  expect(laneOfObject({ kind: "data", head: Buffer.alloc(100_000, 7) })).toBe("part");
});
