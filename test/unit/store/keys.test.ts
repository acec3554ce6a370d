import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import {
  decodeKeySet,
  encodeKeySet,
  type KeySet,
  newKeySet,
  sealContextOf,
  writeOnlyKeySet,
} from "../../../src/store/key-set.ts";
import {
  describeKeyFile,
  type KeyFile,
  makeKeyFile,
  openKeyFiles,
  verifyKeyFile,
} from "../../../src/store/keys.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { filled } from "./pack-fixture.ts";

const QUICK = { createdMs: 0, cost: { n: 4, r: 1, p: 1 } };
const DAMAGED = expect.objectContaining({ code: "REPOSITORY_DAMAGED" });
const KEY_SET: KeySet = {
  idKey: filled(1),
  indexKey: filled(2),
  epochs: [
    { number: 1, contentKey: filled(3), agreementKey: filled(5) },
    { number: 9, contentKey: filled(4), agreementKey: filled(6) },
  ],
  signingKey: filled(7),
};

const textOf = (file: KeyFile): string => Buffer.from(file.bytes).toString("utf8");

/** The file with a changed field and a checksum that fits: what somebody writes on purpose. */
async function forged(file: KeyFile, change: (fields: Record<string, unknown>) => void): Promise<KeyFile> {
  const { createHash } = await import("node:crypto");
  const fields = JSON.parse(textOf(file));
  change(fields);
  const print = () => `${JSON.stringify(fields, null, 2)}\n`;
  fields.check = "";
  fields.check = createHash("sha256").update(print()).digest("hex").slice(0, 32);
  return { name: file.name, bytes: Buffer.from(print()) };
}

describe("a key set", () => {
  test("is encoded and decoded without loss", () => {
    expect(decodeKeySet(encodeKeySet(KEY_SET))).toEqual(KEY_SET);
  });

  test("is of different secrets each time, none of which equals another", () => {
    const [one, two] = [newKeySet(), newKeySet()];
    const secrets = [one, two].flatMap((set) => [
      set.idKey,
      set.indexKey,
      set.epochs[0]?.contentKey,
      set.epochs[0]?.agreementKey,
      set.signingKey,
    ]);
    expect(new Set(secrets.map((secret) => Buffer.from(secret as Uint8Array).toString("hex"))).size).toBe(10);
  });

  test("refuses every truncation, random bytes, doubled, lacking and unknown secrets", () => {
    const bytes = encodeKeySet(KEY_SET);
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeKeySet(bytes.subarray(0, length))).toThrow(DAMAGED);
    const encode = (...entries: (readonly [number, number])[]) => {
      const writer = new ByteWriter().u8(1).varint(entries.length);
      for (const [tag, epoch] of entries) writer.u8(tag).u32(epoch).raw(filled(tag));
      return writer.toBytes();
    };
    const refused = (...entries: (readonly [number, number])[]) => {
      expect(() => decodeKeySet(encode(...entries)), JSON.stringify(entries)).toThrow(DAMAGED);
    };
    const unknown = (...entries: (readonly [number, number])[]) => {
      expect(() => decodeKeySet(encode(...entries)), JSON.stringify(entries)).toThrow(
        expect.objectContaining({ code: "REPOSITORY_VERSION" }),
      );
    };
    expect(decodeKeySet(encode([1, 0], [2, 0], [3, 1], [4, 1], [6, 0]))).toMatchObject({
      epochs: [{ number: 1 }],
    });
    refused([1, 0], [2, 0], [6, 0]);
    refused([1, 0], [2, 0], [3, 1], [6, 0]);
    refused([1, 0], [2, 0], [3, 1], [4, 2], [6, 0]);
    refused([1, 0], [2, 0], [3, 0], [4, 0], [6, 0]);
    refused([1, 0], [2, 0], [3, 1], [4, 1]);
    refused([2, 0], [3, 1], [4, 1], [6, 0]);
    refused([1, 0], [2, 0], [3, 1], [4, 1], [6, 1]);
    refused([1, 0], [1, 0], [2, 0], [3, 1], [4, 1], [6, 0]);
    refused([1, 0], [1, 1], [2, 0], [3, 1], [4, 1], [6, 0]);
    refused([1, 0], [2, 0], [3, 2], [3, 2], [4, 1], [4, 2], [6, 0]);
    refused([1, 0], [2, 0], [4, 1], [3, 1], [6, 0]);
    expect(decodeKeySet(encode([1, 0], [2, 0], [5, 1], [5, 2], [7, 0]))).toMatchObject({
      sealTo: [{ number: 1 }, { number: 2 }],
    });
    refused([1, 0], [2, 0], [7, 0]);
    refused([1, 0], [2, 0], [5, 1]);
    refused([1, 0], [2, 0], [5, 0], [7, 0]);
    refused([1, 0], [2, 0], [5, 1], [5, 1], [7, 0]);
    refused([1, 0], [2, 0], [5, 1], [6, 0], [7, 0]);
    refused([1, 0], [2, 0], [3, 1], [4, 1], [5, 1], [6, 0], [7, 0]);
    refused([2, 0], [5, 1], [7, 0]);
    unknown([1, 0], [2, 0], [3, 1], [4, 1], [6, 0], [8, 0]);
    fc.assert(
      fc.property(fc.uint8Array(), (random) => {
        try {
          decodeKeySet(random);
        } catch (error) {
          expect(isCyrvaultError(error)).toBe(true);
        }
      }),
    );
  });

  test("of who may only write has no secret of who may read", () => {
    const less = writeOnlyKeySet(KEY_SET);
    expect(decodeKeySet(encodeKeySet(less))).toEqual(less);
    const bytes = encodeKeySet(less);
    const secrets = [
      KEY_SET.signingKey,
      ...KEY_SET.epochs.flatMap(({ contentKey, agreementKey }) => [contentKey, agreementKey]),
    ];
    for (const secret of secrets) expect(bytes.includes(Buffer.from(secret))).toBe(false);
    expect(less.sealTo.map(({ number }) => number)).toEqual([1, 9]);
    expect(sealContextOf(less)).toMatchObject({ epochs: [], sealTo: { number: 9 } });
    // RFC 8032, section 7.1, test 1.
    const seed = Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex");
    expect(Buffer.from(writeOnlyKeySet({ ...KEY_SET, signingKey: seed }).signingPublic).toString("hex")).toBe(
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    );
  });

  test("makes a seal context that survives the way to a worker thread", () => {
    const context = sealContextOf(newKeySet());
    const clone = structuredClone(context);
    expect(clone).toEqual(context);
    expect(new ObjectHasher(clone).id("data", filled(0))).toEqual(
      new ObjectHasher(context).id("data", filled(0)),
    );
    for (const secret of [context.idKey, context.indexKey, context.writerId])
      expect(secret.buffer.byteLength).toBe(secret.length);
  });
});

describe("a key file", () => {
  test("opens with its password, in any Unicode spelling of it", async () => {
    const file = await makeKeyFile(KEY_SET, "Pass\u00e9", QUICK);
    expect(await openKeyFiles([file], "Pass\u00e9")).toEqual({ keySet: KEY_SET, name: file.name });
    expect(await openKeyFiles([file], "Passe\u0301")).toEqual({ keySet: KEY_SET, name: file.name });
    expect(await openKeyFiles([file], Buffer.from("Pass\u00e9", "utf8"))).toMatchObject({ name: file.name });
    expect(file.name).toMatch(/^keys\/[0-9a-f]{32}\.json$/);
  });

  test("does not open with another password", async () => {
    const file = await makeKeyFile(KEY_SET, "right", QUICK);
    for (const password of ["wrong", "Right", "right ", ""])
      await expect(openKeyFiles([file], password)).rejects.toMatchObject({ code: "PASSWORD_WRONG" });
  });

  test("cannot be made with an empty password", async () => {
    await expect(makeKeyFile(KEY_SET, "", QUICK)).rejects.toMatchObject({ code: "USAGE" });
  });

  test("is found among several by its password, and a damaged one does not keep the others from opening", async () => {
    const one = await makeKeyFile(KEY_SET, "one", QUICK);
    const two = await makeKeyFile(KEY_SET, "two", QUICK);
    expect((await openKeyFiles([one, two], "two")).name).toBe(two.name);
    const broken = { ...one, bytes: one.bytes.subarray(5) };
    expect((await openKeyFiles([broken, two], "two")).name).toBe(two.name);
    await expect(openKeyFiles([broken, two], "one")).rejects.toMatchObject({
      code: "PASSWORD_WRONG",
      hint: expect.stringContaining(one.name),
    });
    await expect(openKeyFiles([broken], "one")).rejects.toThrow(DAMAGED);
    await expect(openKeyFiles([], "one")).rejects.toThrow(DAMAGED);
  });

  test("shows every flipped bit and every truncation, without a password", async () => {
    const file = await makeKeyFile(KEY_SET, "x", QUICK);
    expect(() => verifyKeyFile(file)).not.toThrow();
    for (let position = 0; position < file.bytes.length; position++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        const bytes = Buffer.from(file.bytes);
        bytes[position] = (bytes[position] as number) ^ bit;
        expect(() => verifyKeyFile({ ...file, bytes }), `byte ${position}`).toThrow(DAMAGED);
      }
      const shorter = file.bytes.subarray(0, position);
      expect(() => verifyKeyFile({ ...file, bytes: shorter })).toThrow(DAMAGED);
    }
    expect(() => verifyKeyFile({ ...file, name: `keys/${"0".repeat(32)}.json` })).toThrow(DAMAGED);
  });

  test("refuses random text and deep nesting with its own error", () => {
    const name = `keys/${"0".repeat(32)}.json`;
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        expect(() => verifyKeyFile({ name, bytes: Buffer.from(text) })).toThrow(DAMAGED);
      }),
    );
    const nested = `{"format":"cyrvault key","x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    expect(() => verifyKeyFile({ name, bytes: Buffer.from(nested) })).toThrow(DAMAGED);
  });

  test("cannot make us spend gigabytes or minutes", async () => {
    const file = await makeKeyFile(KEY_SET, "x", QUICK);
    const costs = [
      { n: 2 ** 24 },
      { n: 2 ** 17, r: 64 * 2 },
      { n: 2 ** 20, r: 64 },
      { p: 2 ** 20 },
      { n: 2 ** 22, r: 2, p: 64 },
      { n: 3 },
      { n: 0 },
      { n: -4 },
      { n: 4.5 },
      { n: "4" },
      { r: 0 },
      { n: null },
    ];
    for (const cost of costs) {
      const bad = await forged(file, (fields) => Object.assign(fields["kdf"] as object, cost));
      expect(() => verifyKeyFile(bad), JSON.stringify(cost)).toThrow(DAMAGED);
      await expect(openKeyFiles([bad], "x")).rejects.toThrow(DAMAGED);
    }
  });

  test("is refused as a newer version's when its scheme, derivation or version is not known", async () => {
    const file = await makeKeyFile(KEY_SET, "x", QUICK);
    for (const [field, value] of [
      ["version", 2],
      ["kdf", { name: "argon2id" }],
      ["wrap", { scheme: 2, sealed: "00" }],
    ] as const) {
      const newer = await forged(file, (fields) => Object.assign(fields, { [field]: value }));
      expect(() => verifyKeyFile(newer)).toThrow(expect.objectContaining({ code: "REPOSITORY_VERSION" }));
    }
  });

  test("does not open when what is authenticated was changed on purpose", async () => {
    const file = await makeKeyFile(KEY_SET, "x", QUICK);
    const older = await forged(file, (fields) =>
      Object.assign(fields, { created: "1999-01-01T00:00:00.000Z" }),
    );
    expect(() => verifyKeyFile(older)).not.toThrow();
    await expect(openKeyFiles([older], "x")).rejects.toMatchObject({ code: "PASSWORD_WRONG" });
  });

  test("says whether it opens to keys that may only write, and is damage where that is not so", async () => {
    const less = writeOnlyKeySet(KEY_SET);
    const file = await makeKeyFile(less, "x", QUICK);
    expect(describeKeyFile(file)).toMatchObject({ isWriteOnly: true });
    expect(describeKeyFile(await makeKeyFile(KEY_SET, "x", QUICK))).toMatchObject({ isWriteOnly: false });
    expect(await openKeyFiles([file], "x")).toEqual({ keySet: less, name: file.name });
    const raised = await forged(file, (fields) => Reflect.deleteProperty(fields, "rights"));
    await expect(openKeyFiles([raised], "x")).rejects.toMatchObject({ code: "PASSWORD_WRONG" });
    const later = await forged(file, (fields) => Object.assign(fields, { rights: "list" }));
    expect(() => verifyKeyFile(later)).toThrow(expect.objectContaining({ code: "REPOSITORY_VERSION" }));
  });

  test("of a secret file opens with its bytes alone, whatever passwords there are beside it", async () => {
    const secret = { kind: "secret-file", bytes: filled(9) } as const;
    const one = await makeKeyFile(KEY_SET, secret, { createdMs: 0 });
    const two = await makeKeyFile(KEY_SET, "two", QUICK);
    expect(describeKeyFile(one)).toMatchObject({
      opensWith: "key file",
      created: "1970-01-01T00:00:00.000Z",
    });
    expect(describeKeyFile(two)).toMatchObject({ opensWith: "password" });
    expect(await openKeyFiles([two, one], secret)).toEqual({ keySet: KEY_SET, name: one.name });
    expect((await openKeyFiles([one, two], "two")).name).toBe(two.name);
    for (const wrong of [filled(8), filled(9, 33), Buffer.concat([filled(9), Buffer.of(0)])])
      await expect(openKeyFiles([one, two], { kind: "secret-file", bytes: wrong })).rejects.toMatchObject({
        code: "PASSWORD_WRONG",
        message: "the key file does not open this repository",
        hint: expect.stringContaining("a password or a key file"),
      });
    await expect(openKeyFiles([one], filled(9))).rejects.toMatchObject({ code: "PASSWORD_WRONG" });
    await expect(openKeyFiles([two], secret)).rejects.toMatchObject({ code: "PASSWORD_WRONG" });
  });

  test("costs by default what scrypt with N = 2^17, r = 8, p = 1 costs", async () => {
    const file = await makeKeyFile(KEY_SET, "x", { createdMs: 0 });
    expect(JSON.parse(textOf(file)).kdf).toMatchObject({ name: "scrypt", n: 131_072, r: 8, p: 1 });
    expect((await openKeyFiles([file], "x")).keySet).toEqual(KEY_SET);
  });
});
