import { createCipheriv } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import type { Repository } from "../../../src/store/repository.ts";
import { content, newPlain, nextBackupId, openPlain, storeMessage } from "./repository-fixture.ts";

const MIB = 1024 * 1024;
/** Beyond what is held before the first stretch, and beyond what the cache of blocks keeps. */
const PARTS = 22;
/** No two alike. */
const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16));
const parts = Array.from({ length: PARTS }, (_, n) => noise.update(Buffer.alloc(MIB + n)));

/** A message of large parts, each in a block of its own, and what it should be. */
let backend: MemoryBackend;
let id: ObjectId;
let whole: Buffer;

beforeAll(async () => {
  backend = new MemoryBackend();
  const run = await (await newPlain(backend)).startRun({ server: "mail", host: "here" });
  ({ id, whole } = await storeMessage(run, parts, content("h", 40), content("t", 90)));
  await run.commit(nextBackupId(), Buffer.from("{}"));
});

async function read(repository: Repository): Promise<Buffer> {
  const stretches: Buffer[] = [];
  for await (const stretch of repository.objects.stream("message", id)) stretches.push(Buffer.from(stretch));
  return Buffer.concat(stretches);
}

describe("a message larger than what is held", () => {
  test("comes back each time, though its blocks have been given back", async () => {
    const repository = await openPlain(backend);
    for (let time = 0; time < 3; time++) expect((await read(repository)).equals(whole)).toBe(true);
  });

  test("opens each block once", async () => {
    const repository = await openPlain(backend);
    await read(repository);
    const { opened, needed } = repository.objects.usage.bytes;
    expect(opened).toBe(needed);
  });

  test("comes back to two who read it at once, in turns, and to a third who wants a part of it meanwhile", async () => {
    const repository = await openPlain(backend);
    const info = await repository.objects.info("message", id);
    const readers = [0, 1].map(() => ({
      stretches: repository.objects.stream("message", id),
      bytes: [] as Buffer[],
    }));
    let reading = readers;
    for (let turn = 0; reading.length > 0; turn++) {
      const next = await Promise.all(
        reading.map(async (reader) => ({ reader, stretch: await reader.stretches.next() })),
      );
      for (const { reader, stretch } of next)
        if (stretch.done !== true) reader.bytes.push(Buffer.from(stretch.value));
      reading = next.filter(({ stretch }) => stretch.done !== true).map(({ reader }) => reader);
      // Ahead of the two, beside them, and behind.
      for (const wanted of [turn + 3, turn, turn + PARTS - 3].map((position) => position % PARTS)) {
        const part = await repository.objects.get("data", info?.references[wanted] as ObjectId);
        expect(part.equals(parts[wanted] as Buffer)).toBe(true);
      }
    }
    for (const { bytes } of readers) expect(Buffer.concat(bytes).equals(whole)).toBe(true);
  });

  test("is given up in the middle by whoever wants no more of it, and the next one gets all", async () => {
    const repository = await openPlain(backend);
    let bytes = 0;
    for await (const stretch of repository.objects.stream("message", id)) {
      bytes += stretch.length;
      if (bytes > 19 * MIB) break;
    }
    expect((await read(repository)).equals(whole)).toBe(true);
  });

  test("never gives out its end if it is put together wrongly, even where that is all of it", async () => {
    const wrong = Buffer.alloc(17 * MIB);
    for (const stretches of [[wrong], [content("a"), wrong], [wrong, content("z")]]) {
      const repository = await openPlain(backend, {
        assemble: async function* () {
          yield* stretches;
        },
      });
      const given: number[] = [];
      await expect(
        (async () => {
          for await (const { length } of repository.objects.stream("message", id)) given.push(length);
        })(),
      ).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
      expect(given).toEqual(stretches.slice(0, -1).map(({ length }) => length));
    }
  });
});
