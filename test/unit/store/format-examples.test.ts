import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { toHex } from "../../../src/base/bytes.ts";
import { agreementPublicKey } from "../../../src/store/agreement.ts";
import { decodeKeySet, encodeKeySet, sealContextOf } from "../../../src/store/key-set.ts";
import { makeKeyFile, openKeyFiles } from "../../../src/store/keys.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { objectsInBlock } from "../../../src/store/pack-reader.ts";
import { asPackId } from "../../../src/store/pack-types.ts";
import { decodePaperKey, encodePaperKey } from "../../../src/store/paper-key.ts";
import { Sealer } from "../../../src/store/sealer.ts";
import {
  CONTEXTS,
  countedBytes,
  data,
  filled,
  id,
  KEYED,
  makePack,
  message,
  readWhole,
} from "./pack-fixture.ts";

/** The fenced blocks of one language in a format document, in order; in hex, `;` begins a comment. */
function examples(document: string, language: "hex" | "json" | "text"): Buffer[] {
  const url = new URL(`../../../docs/formats/${document}`, import.meta.url);
  const blocks = readFileSync(url, "utf8").matchAll(/^```(\w+)\n(.*?)^```$/gms);
  return [...blocks]
    .filter((match) => match[1] === language)
    .map(([, , text = ""]) =>
      language !== "hex" ? Buffer.from(text) : Buffer.from(text.replace(/;.*$|\s/gm, ""), "hex"),
    );
}

const KEY_SET = {
  idKey: KEYED.idKey,
  indexKey: KEYED.indexKey,
  epochs: KEYED.epochs.map((epoch) => ({ ...epoch, agreementKey: filled(7) })),
  signingKey: filled(8),
};

describe("docs/formats/pack.md", () => {
  const packs = examples("pack.md", "hex");
  const objects = [data("attachment"), message("H:1", "body", [id(0xdd), id(0xee)])];

  test.each(CONTEXTS)(
    "shows the very bytes that are written, and that can be read: %s",
    async (_, context) => {
      const example = packs[context.encrypted ? 1 : 0] as Buffer;
      expect(toHex(makePack(context, objects, { random: countedBytes() }).bytes)).toBe(toHex(example));

      const { pack, blocks } = await readWhole(context, asPackId(filled(0x11)), example);
      const read = [...objectsInBlock(pack.directory, 0, blocks[0] as Buffer)];
      expect(read.map(({ kind, head, tail }) => [kind, `${head}`, `${tail}`])).toEqual([
        ["data", "attachment", ""],
        ["message", "H:1", "body"],
      ]);
      expect(read[1]?.references.map(toHex)).toEqual(["dd".repeat(32), "ee".repeat(32)]);
    },
  );
});

describe("docs/formats/keys.md", () => {
  const [keySet, ids, ...sealedFiles] = examples("keys.md", "hex") as [Buffer, Buffer, Buffer, Buffer];

  test("shows a key set", () => {
    expect(toHex(encodeKeySet(KEY_SET))).toBe(toHex(keySet));
    expect(decodeKeySet(keySet)).toEqual(KEY_SET);
  });

  test("shows a key file", async () => {
    const [bytes] = examples("keys.md", "json") as [Buffer];
    let calls = 5;
    const made = await makeKeyFile(KEY_SET, "correct horse", {
      createdMs: Date.UTC(2024, 1, 29, 12),
      cost: { n: 16, r: 8, p: 1 },
      random: (count) => filled(calls++, count),
    });
    expect(Buffer.from(made.bytes).toString()).toBe(bytes.toString());
    const opened = await openKeyFiles([{ name: `keys/${"05".repeat(16)}.json`, bytes }], "correct horse");
    expect(opened.keySet).toEqual(KEY_SET);
  });

  test("shows the key file of a secret file", async () => {
    const [, bytes] = examples("keys.md", "json") as [Buffer, Buffer];
    const secret = { kind: "secret-file", bytes: Uint8Array.from({ length: 64 }, (_, i) => i) } as const;
    let calls = 5;
    const made = await makeKeyFile(KEY_SET, secret, {
      createdMs: Date.UTC(2024, 1, 29, 12),
      random: (count) => filled(calls++, count),
    });
    expect(Buffer.from(made.bytes).toString()).toBe(bytes.toString());
    const opened = await openKeyFiles([{ name: `keys/${"05".repeat(16)}.json`, bytes }], secret);
    expect(opened.keySet).toEqual(KEY_SET);
  });

  test("shows a paper key", () => {
    const [text] = examples("keys.md", "text") as [Buffer];
    expect(`${encodePaperKey("ab".repeat(16), KEY_SET).join("\n")}\n`).toBe(text.toString());
    expect(decodePaperKey(text, "paper")).toEqual({ repository: "ab".repeat(16), keySet: KEY_SET });
  });

  test("shows ids of objects", () => {
    const made = CONTEXTS.map(([, context]) => new ObjectHasher(context).id("data", Buffer.from("example")));
    expect(made.map(toHex).join("")).toBe(toHex(ids));
  });

  test.each(CONTEXTS)("shows a sealed file, %s", (_, context) => {
    const example = sealedFiles[context.encrypted ? 1 : 0] as Buffer;
    const sealer = new Sealer(context);
    const made = sealer.sealNamed("backup", "backups/one", Buffer.from("hello"), countedBytes());
    expect(toHex(made)).toBe(toHex(example));
    expect(sealer.openNamed("backup", "backups/one", example).toString()).toBe("hello");
  });

  test("shows a sealed file by one that may only write", () => {
    const example = sealedFiles.at(2) as Buffer;
    const sealTo = { number: 1, publicKey: agreementPublicKey(filled(7)) };
    const writer = new Sealer({ ...KEYED, epochs: [], sealTo });
    const made = writer.sealNamed("backup", "backups/one", Buffer.from("hello"), countedBytes());
    expect(toHex(made)).toBe(toHex(example));
    const reader = new Sealer(sealContextOf(KEY_SET));
    expect(reader.openNamed("backup", "backups/one", example).toString()).toBe("hello");
  });

  test("shows a sealed file for every writer", () => {
    const example = sealedFiles.at(3) as Buffer;
    const sealer = new Sealer(KEYED);
    expect(toHex(sealer.sealNamed("gc", "gc/1", Buffer.from("hello"), countedBytes()))).toBe(toHex(example));
    expect(sealer.openNamed("gc", "gc/1", example).toString()).toBe("hello");
  });
});
