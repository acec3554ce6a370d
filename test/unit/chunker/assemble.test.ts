import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { assembleMessage, assembleMessageSync, assemblesTo } from "../../../src/chunker/assemble.ts";
import { encodePieceList, parsePieceList } from "../../../src/chunker/piece-list.ts";
import { splitMessage } from "../../../src/chunker/split.ts";
import { makeSplitParameters } from "../../../src/chunker/split-parameters.ts";
import type { AssembleMessage } from "../../../src/store/object.ts";
import { mailBytes, noise, wrap } from "./mail-arbitrary.ts";
import { assembledInStretches } from "./round-trip.ts";

const page = readFileSync(new URL("../../../docs/formats/message.md", import.meta.url), "utf8");

function example(name: string): Buffer {
  const block = page.match(new RegExp(`\`\`\`hex ${name}\n([^\`]+)\`\`\``))?.[1];
  if (block === undefined) throw new Error(`docs/formats/message.md has no example «${name}»`);
  return Buffer.from(block.replace(/\s/g, ""), "hex");
}

/** The answer, or «damaged»; any other error fails the test. */
function outcome(work: () => Uint8Array): Uint8Array | "damaged" {
  try {
    return work();
  } catch (error) {
    if (isCyrvaultError(error, "REPOSITORY_DAMAGED")) return "damaged";
    throw error;
  }
}

const none = (): Uint8Array => new Uint8Array();
const base64 = { lineChars: 76, lineEnd: "crlf" } as const;

describe("the worked example of docs/formats/message.md", () => {
  const text = page.match(/```text\n([\s\S]+?)```/)?.[1] ?? "";
  const message = Buffer.from(text.replaceAll("\n", "\r\n"), "latin1");
  const [head, tail, reference] = [example("head"), example("tail"), example("reference")];

  test("is assembled to the message on the page", () => {
    expect(message.length).toBe(137);
    expect(Buffer.from(assembleMessageSync(head, tail, () => reference)).toString()).toBe(message.toString());
  });

  test("is what the message is split into when nine bytes are enough for a part", () => {
    const split = splitMessage(message, makeSplitParameters({ partBytesMin: 9, textBytesMin: 9 }));
    expect(Buffer.from(split.head).toString("hex")).toBe(head.toString("hex"));
    expect(Buffer.from(split.tail).toString("hex")).toBe(tail.toString("hex"));
    expect(split.parts.map((part) => Buffer.from(part.bytes).toString())).toEqual(["ABCDEFGHI"]);
  });
});

describe("assembleMessage", () => {
  test("is what the store wants", () => {
    const fits: AssembleMessage = assembleMessage;
    expect(fits).toBe(assembleMessage);
  });

  test("yields the same as the synchronous one", async () => {
    const parameters = makeSplitParameters({ partBytesMin: 50, textBytesMin: 50, decodedBytesMin: 3 });
    await fc.assert(
      fc.asyncProperty(mailBytes, async (bytes) => {
        const made = await assembledInStretches(splitMessage(bytes, parameters));
        expect(Buffer.compare(made, bytes)).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  test("a message is known to assemble to itself, and to nothing else", () => {
    const parameters = makeSplitParameters({ partBytesMin: 50, textBytesMin: 50, decodedBytesMin: 3 });
    fc.assert(
      fc.property(mailBytes, fc.nat(), (bytes, at) => {
        const { head, tail, parts } = splitMessage(bytes, parameters);
        const load = (position: number) => parts[position]?.bytes as Uint8Array;
        const isIt = (expected: Uint8Array) => assemblesTo(head, tail, load, expected);
        expect(isIt(bytes)).toBe(true);
        expect(isIt(Buffer.concat([bytes, Buffer.of(0)]))).toBe(false);
        if (bytes.length === 0) return;
        expect(isIt(bytes.subarray(1))).toBe(false);
        expect(isIt(bytes.subarray(0, -1))).toBe(false);
        const other = Buffer.from(bytes);
        other[at % other.length] = (other[at % other.length] as number) ^ 1;
        expect(isIt(other)).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  test("carries groups and columns from reference to reference, wherever they are cut", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        fc.constantFrom(0, 1, 2, 3, 4, 5, 30, 76),
        fc.constantFrom("crlf", "lf"),
        (bytes, lengths, lineChars, lineEnd) => {
          const references: Uint8Array[] = [];
          for (let from = 0, i = 0; from < bytes.length; from += lengths[i++ % lengths.length] as number)
            references.push(bytes.subarray(from, from + (lengths[i % lengths.length] as number)));
          const encoded = wrap(
            Buffer.from(bytes).toString("base64"),
            lineChars,
            lineEnd === "lf" ? "\n" : "\r\n",
          );
          const piece = {
            sourceBytes: bytes.length,
            references: references.length,
            wrapping: { lineChars, lineEnd },
          };
          const head = encodePieceList(encoded.length, [piece]);
          const made = assembleMessageSync(head, none(), (i) => references[i] as Uint8Array);
          expect(Buffer.from(made).toString()).toBe(encoded);
        },
      ),
    );
  });

  test("yields stretches of at most 4 MiB, also of references that are longer", async () => {
    const bytes = noise(5_000_000);
    for (const wrapping of [undefined, base64, { lineChars: 4, lineEnd: "crlf" } as const]) {
      const encoded = wrapping
        ? wrap(bytes.toString("base64"), wrapping.lineChars, "\r\n")
        : bytes.toString("latin1");
      const head = encodePieceList(encoded.length, [{ sourceBytes: bytes.length, references: 1, wrapping }]);
      let total = 0;
      let longest = 0;
      for await (const stretch of assembleMessage(head, none(), async () => bytes)) {
        longest = Math.max(longest, stretch.length);
        total += stretch.length;
      }
      expect(longest).toBeLessThanOrEqual(4 * 1024 * 1024);
      expect(total).toBe(encoded.length);
    }
  });
});

describe("a damaged message", () => {
  const message = Buffer.from(
    `Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\n${wrap(noise(500).toString("base64"), 76, "\r\n")}\r\n`,
  );
  const split = splitMessage(message, makeSplitParameters({ partBytesMin: 100, textBytesMin: 100 }));
  const part = split.parts[0]?.bytes ?? none();

  test("is refused or assembles to the declared size, for any list", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 40 }), (head, tail) => {
        const made = outcome(() => assembleMessageSync(head, tail, () => Buffer.alloc(3)));
        if (made !== "damaged") expect(made.length).toBe(parsePieceList(head, tail.length).totalBytes);
      }),
      { numRuns: 2000 },
    );
  });

  test("is refused when its head or its tail is cut anywhere", () => {
    for (let length = 0; length < split.head.length; length++)
      expect(outcome(() => assembleMessageSync(split.head.subarray(0, length), split.tail, () => part))).toBe(
        "damaged",
      );
    for (let length = 0; length < split.tail.length; length++)
      expect(outcome(() => assembleMessageSync(split.head, split.tail.subarray(0, length), () => part))).toBe(
        "damaged",
      );
  });

  test("is refused when a byte of its list is another, or gives as many bytes as the list then says", () => {
    const { headerOffset } = parsePieceList(split.head, split.tail.length);
    for (let offset = 0; offset < headerOffset; offset++) {
      for (let bit = 0; bit < 8; bit++) {
        const head = Buffer.from(split.head);
        head[offset] = (head[offset] as number) ^ (1 << bit);
        const made = outcome(() => assembleMessageSync(head, split.tail, () => part));
        if (made !== "damaged") expect(made.length).toBe(parsePieceList(head, split.tail.length).totalBytes);
      }
    }
  });

  test("is refused when a reference is empty, too short or too long", () => {
    for (const wrong of [none(), part.subarray(1), Buffer.concat([part, part])])
      expect(outcome(() => assembleMessageSync(split.head, split.tail, () => wrong))).toBe("damaged");
  });

  test("is refused when one of several references is empty, though the others suffice", () => {
    const head = encodePieceList(3, [{ sourceBytes: 3, references: 2, wrapping: undefined }]);
    const load = (lengths: number[]) => (i: number) => Buffer.alloc(lengths[i] ?? 0);
    expect(outcome(() => assembleMessageSync(head, none(), load([1, 2])))).not.toBe("damaged");
    for (const lengths of [
      [0, 3],
      [3, 0],
      [2, 2],
      [1, 1],
    ])
      expect(outcome(() => assembleMessageSync(head, none(), load(lengths)))).toBe("damaged");
  });

  test("is refused when its pieces take more from the tail than there is, even if the sum is right", () => {
    const list = encodePieceList(10, [{ sourceBytes: 10, references: 0, wrapping: undefined }]);
    const head = Buffer.concat([list, Buffer.alloc(5)]);
    expect(outcome(() => assembleMessageSync(head, Buffer.alloc(5), none))).toBe("damaged");
  });

  test("is refused before anything is loaded when its pieces make more than its size", () => {
    const piece = { sourceBytes: 2 ** 40, references: 1, wrapping: base64 };
    for (const total of [0, 100, 2 ** 40, 2 ** 50]) {
      const load = (): never => {
        throw new Error("loaded");
      };
      expect(outcome(() => assembleMessageSync(encodePieceList(total, [piece]), none(), load))).toBe(
        "damaged",
      );
    }
  });

  test("is refused for tags that do not exist, empty pieces, pieces without references, numbers too long", () => {
    const lists = [
      [5, 1, 4, 1],
      [5, 1, 5, 1, 1],
      [5, 1, 8, 1],
      [0, 1, 0, 0],
      [5, 1, 1, 5, 0],
      [5, 1, 1, 5, 6],
      [4, 1, 2, 3, 0x81, 0x80, 0x04],
      [0x80, 0x00, 0],
      [5, 0x80, 0x80, 0x80, 0x80, 0x10],
    ];
    for (const list of lists)
      expect(
        outcome(() => assembleMessageSync(Buffer.from(list), Buffer.alloc(5), () => Buffer.alloc(5))),
      ).toBe("damaged");
  });
});
