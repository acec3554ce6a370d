import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openBytes, SEAL_BYTES, sealBytes } from "../../../src/store/seal.ts";
import { UNENCRYPTED } from "../../../src/store/seal-context.ts";
import { decodeSealedHeader, encodeSealedHeader, SEALED_FILE_MAGIC } from "../../../src/store/seal-header.ts";
import { Sealer } from "../../../src/store/sealer.ts";
import { CONTEXTS, filled, KEYED } from "./pack-fixture.ts";

const DAMAGED = expect.objectContaining({ code: "REPOSITORY_DAMAGED" });
const KEYS = [
  ["keyless", undefined],
  ["keyed", filled(9)],
] as const;

describe.each(KEYS)("sealBytes() and openBytes(), %s", (_, key) => {
  test("give back any bytes, and add 16", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), fc.nat(), (plain, associated, nonce) => {
        const sealed = sealBytes(key, nonce, associated, plain);
        expect(sealed.length).toBe(plain.length + SEAL_BYTES);
        expect(openBytes(key, nonce, associated, sealed, "x").equals(plain)).toBe(true);
      }),
    );
  });

  test("notice a change of any byte, of the nonce, of what it belongs to, and of the length", () => {
    const plain = Buffer.from("some bytes");
    const associated = Buffer.from("place");
    const sealed = sealBytes(key, 5, associated, plain);
    for (let position = 0; position < sealed.length; position++) {
      const bad = Buffer.from(sealed);
      bad[position] = (bad[position] as number) ^ 0x10;
      expect(() => openBytes(key, 5, associated, bad, "x")).toThrow(DAMAGED);
    }
    for (let length = 0; length < sealed.length; length++)
      expect(() => openBytes(key, 5, associated, sealed.subarray(0, length), "x")).toThrow(DAMAGED);
    expect(() => openBytes(key, 6, associated, sealed, "x")).toThrow(DAMAGED);
    expect(() => openBytes(key, 5, Buffer.from("plaCe"), sealed, "x")).toThrow(DAMAGED);
    expect(() => openBytes(key, 5, associated, Buffer.concat([sealed, filled(0, 1)]), "x")).toThrow(DAMAGED);
  });
});

test("a key and no key, and two keys, do not open each other's", () => {
  const none = filled(0, 0);
  const sealed = sealBytes(filled(9), 0, none, filled(1));
  expect(() => openBytes(undefined, 0, none, sealed, "x")).toThrow(DAMAGED);
  expect(() => openBytes(filled(8), 0, none, sealed, "x")).toThrow(DAMAGED);
});

describe.each(CONTEXTS)("Sealer, %s", (_, context) => {
  const sealer = new Sealer(context);

  test("opens a named file under its own name and purpose only", () => {
    const sealed = sealer.sealNamed("backup", "backups/one", Buffer.from("root"));
    expect(sealer.openNamed("backup", "backups/one", sealed).toString()).toBe("root");
    expect(() => sealer.openNamed("backup", "backups/two", sealed)).toThrow(DAMAGED);
    expect(() => sealer.openNamed("checkpoint", "backups/one", sealed)).toThrow(DAMAGED);
    expect(() => sealer.openNamed("backupb", "ackups/one", sealed)).toThrow(DAMAGED);
  });

  test("notices every flipped bit and every truncation of a named file", () => {
    const sealed = sealer.sealNamed("run", "runs/1", Buffer.from("a run"));
    for (let position = 0; position < sealed.length; position++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        const bad = Buffer.from(sealed);
        bad[position] = (bad[position] as number) ^ bit;
        expect(() => sealer.openNamed("run", "runs/1", bad)).toThrow(DAMAGED);
      }
      expect(() => sealer.openNamed("run", "runs/1", sealed.subarray(0, position))).toThrow(DAMAGED);
    }
  });

  test("refuses random bytes as a named file", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => sealer.openNamed("run", "runs/1", bytes)).toThrow(DAMAGED);
      }),
    );
  });

  test("opens a part of a file at its own number, of its own file and purpose only", () => {
    const seal = sealer.fileSeal("segment", filled(7));
    const associated = Buffer.from("header");
    const part = seal.seal(3, Buffer.from("page"), associated);
    expect(seal.open(3, part, associated).toString()).toBe("page");
    expect(() => seal.open(2, part, associated)).toThrow(DAMAGED);
    expect(() => seal.open(3, part)).toThrow(DAMAGED);
    expect(() => sealer.fileSeal("segment", filled(8)).open(3, part, associated)).toThrow(DAMAGED);
    expect(() => sealer.fileSeal("directory", filled(7)).open(3, part, associated)).toThrow(DAMAGED);
  });

  test("makes a MAC that fits these bytes and this purpose", () => {
    const mac = sealer.mac("config", Buffer.from("{}"));
    expect(sealer.isMac("config", Buffer.from("{}"), mac)).toBe(true);
    expect(sealer.isMac("config", Buffer.from("{ }"), mac)).toBe(false);
    expect(sealer.isMac("other", Buffer.from("{}"), mac)).toBe(false);
    expect(sealer.isMac("config", Buffer.from("{}"), mac.subarray(1))).toBe(false);
  });
});

describe("sealed and unsealed files", () => {
  test("of a run or of deletion are under the index key alone, and no other file opens so", () => {
    const full = new Sealer(KEYED);
    const withoutContentKey = new Sealer({ ...KEYED, epochs: [] });
    const record = withoutContentKey.sealNamed("gc", "a", filled(1));
    expect(full.openNamed("gc", "a", record)).toEqual(Buffer.from(filled(1)));
    expect(withoutContentKey.openNamed("run", "a", full.sealNamed("run", "a", filled(2)))).toEqual(
      Buffer.from(filled(2)),
    );
    expect(() =>
      withoutContentKey.openNamed("backup", "a", full.sealNamed("backup", "a", filled(3))),
    ).toThrow(DAMAGED);
    // With the index key alone somebody makes a header that says so, for a backup; and the other way round.
    const forged = encodeSealedHeader(KEYED, SEALED_FILE_MAGIC, 0, undefined, { readers: "writers" });
    expect(() => decodeSealedHeader(KEYED, SEALED_FILE_MAGIC, forged.header, "x")).toThrow(DAMAGED);
    const backup = encodeSealedHeader(KEYED, SEALED_FILE_MAGIC, 0, undefined);
    expect(() => decodeSealedHeader(KEYED, SEALED_FILE_MAGIC, backup.header, "x", "writers")).toThrow(
      DAMAGED,
    );
  });

  test("do not pass for each other", () => {
    const [open, keyed] = [new Sealer(UNENCRYPTED), new Sealer(KEYED)];
    const name = "backups/one";
    expect(() => keyed.openNamed("backup", name, open.sealNamed("backup", name, filled(1)))).toThrow(DAMAGED);
    expect(() => open.openNamed("backup", name, keyed.sealNamed("backup", name, filled(1)))).toThrow(DAMAGED);
    expect(keyed.isMac("config", filled(1), open.mac("config", filled(1)))).toBe(false);
  });
});
