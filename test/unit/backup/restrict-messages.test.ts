import { expect, test } from "vitest";
import type { MessageDecision } from "../../../src/backup/message-plan.ts";
import { untilLate } from "../../../src/backup/restrict-messages.ts";
import type { MessageEntry } from "../../../src/manifest/model.ts";

const ENTRY = { uid: 3 } as MessageEntry;
const EARLIER = { entry: ENTRY, size: 7 } as Extract<MessageDecision, { action: "missing" }>["before"];
const DECISIONS = [
  { action: "read", uid: 1, before: undefined },
  { action: "missing", uid: 2, expunged: false, before: undefined },
  { action: "missing", uid: 3, expunged: false, before: EARLIER },
  { action: "reuse", entry: { uid: 4 }, size: 1 },
] as unknown as readonly MessageDecision[];

async function all(decisions: AsyncIterable<MessageDecision>): Promise<MessageDecision[]> {
  const found: MessageDecision[] = [];
  for await (const decision of decisions) found.push(decision);
  return found;
}

async function* given(): AsyncGenerator<MessageDecision> {
  yield* DECISIONS;
}

test("in time, every decision goes on as it is", async () => {
  const count = { messages: 0, kept: 0 };
  expect(await all(untilLate(given(), () => false, count))).toEqual(DECISIONS);
  expect(count).toEqual({ messages: 0, kept: 0 });
});

test("late, what would be read and what has no file are counted; what an earlier backup has goes on", async () => {
  const count = { messages: 0, kept: 0 };
  const found = await all(untilLate(given(), () => true, count));
  expect(found.map(({ action }) => action)).toEqual(["missing", "reuse"]);
  expect(count).toEqual({ messages: 2, kept: 0 });
});
