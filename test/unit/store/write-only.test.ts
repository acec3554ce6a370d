import { describe, expect, test } from "vitest";
import { agreementPublicKey, unwrapByAgreement, wrapForAgreement } from "../../../src/store/agreement.ts";
import { newKeySet, sealContextOf } from "../../../src/store/key-set.ts";
import { openPack } from "../../../src/store/pack-reader.ts";
import { PackSeal } from "../../../src/store/pack-seal.ts";
import { PackWriter } from "../../../src/store/pack-writer.ts";
import type { KeyedSealContext } from "../../../src/store/seal-context.ts";
import { decodeSealedHeader, encodeSealedHeader, PACK_MAGIC } from "../../../src/store/seal-header.ts";
import { Sealer } from "../../../src/store/sealer.ts";
import { backendWith, data, filled, id, makePack, message, readWhole } from "./pack-fixture.ts";

const DAMAGED = expect.objectContaining({ code: "REPOSITORY_DAMAGED" });
const WRITE_ONLY = expect.objectContaining({ code: "KEY_WRITE_ONLY" });
const hex = (text: string) => Buffer.from(text, "hex");

const KEY_SET = newKeySet();
const READER = sealContextOf(KEY_SET);
const WRITER = writerOf(READER);

/** Who holds the public half of the highest epoch, and neither content keys nor agreement keys. */
function writerOf(reader: KeyedSealContext): KeyedSealContext {
  const epoch = reader.epochs.at(-1);
  if (epoch?.agreementKey === undefined) throw new Error("a reader has agreement keys");
  const sealTo = { number: epoch.number, publicKey: agreementPublicKey(epoch.agreementKey) };
  return { ...reader, epochs: [], sealTo, writerId: filled(9, 16) };
}

describe("key agreement", () => {
  test("gives the answers of RFC 7748, section 6.1", () => {
    expect(
      agreementPublicKey(hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")),
    ).toEqual(hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
  });

  test("opens what was sealed to the public half, and nothing else", () => {
    const [secret, ephemeral, file, place] = [filled(7), filled(8), filled(1), Buffer.from("place")];
    const wrapped = wrapForAgreement(agreementPublicKey(secret), ephemeral, file, place, filled(5));
    const open = (changed: Partial<Record<"secret" | "file" | "place" | "wrapped", Uint8Array>>) =>
      unwrapByAgreement(
        changed.secret ?? secret,
        changed.file ?? file,
        changed.place ?? place,
        changed.wrapped ?? wrapped,
        "x",
      );
    expect(open({})).toEqual(Buffer.from(filled(5)));
    expect(() => open({ secret: filled(6) })).toThrow(DAMAGED);
    expect(() => open({ file: filled(2) })).toThrow(DAMAGED);
    expect(() => open({ place: Buffer.from("elsewhere") })).toThrow(DAMAGED);
    for (let at = 0; at < wrapped.length; at++) {
      const bad = Buffer.from(wrapped);
      bad[at] = (bad[at] as number) ^ 0x10;
      expect(() => open({ wrapped: bad }), `byte ${at}`).toThrow(DAMAGED);
      expect(() => open({ wrapped: wrapped.subarray(0, at) })).toThrow(DAMAGED);
    }
    // Points of small order: the agreed secret would be all zeros, whoever's key it is.
    for (const point of [filled(0), Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))])
      expect(() => open({ wrapped: Buffer.concat([point, wrapped.subarray(32)]) })).toThrow(DAMAGED);
    expect(() => wrapForAgreement(filled(0), ephemeral, file, place, filled(5))).toThrow(DAMAGED);
  });
});

describe("who may only write", () => {
  const objects = [data("attachment"), message("H:1", "body", [id(0xdd)])];

  test("seals packs that a reader opens, and that nobody vouches for", async () => {
    const { bytes, packId } = makePack(WRITER, objects);
    const { pack, blocks } = await readWhole(READER, packId, bytes);
    expect(pack.directory.objectCount).toBe(2);
    expect(blocks).toHaveLength(1);
    expect(decodeSealedHeader(READER, PACK_MAGIC, bytes, "x")).toMatchObject({
      isUnvouched: true,
      writerId: WRITER.writerId,
    });
    const own = makePack(READER, objects);
    expect(decodeSealedHeader(READER, PACK_MAGIC, own.bytes, "x").isUnvouched).toBe(false);
  });

  test("opens neither packs nor backups, its own included; of packs the directory, to look up what there is", async () => {
    for (const context of [READER, WRITER]) {
      const { bytes, packId } = makePack(context, objects);
      await expect(readWhole(WRITER, packId, bytes)).rejects.toThrow(WRITE_ONLY);
      const { directory } = (await openPack(backendWith(packId, bytes), packId, WRITER)) ?? {};
      expect(directory?.objectCount).toBe(2);
      const root = new Sealer(context).sealNamed("backup", "backups/one", filled(1));
      expect(() => new Sealer(WRITER).openNamed("backup", "backups/one", root)).toThrow(WRITE_ONLY);
      expect(new Sealer(READER).openNamed("backup", "backups/one", root)).toEqual(Buffer.from(filled(1)));
    }
  });

  test("reads and writes records of runs and deletion as everybody does", () => {
    const [reader, writer] = [new Sealer(READER), new Sealer(WRITER)];
    expect(reader.openNamed("run", "a", writer.sealNamed("run", "a", filled(1)))).toEqual(
      Buffer.from(filled(1)),
    );
    expect(writer.openNamed("gc", "a", reader.sealNamed("gc", "a", filled(1)))).toEqual(
      Buffer.from(filled(1)),
    );
  });

  test.each(["forgotten", "tags", "accepted", "verified"])(
    "can neither write nor forge a file of %s",
    (purpose) => {
      const [reader, writer] = [new Sealer(READER), new Sealer(WRITER)];
      expect(() => writer.sealNamed(purpose, "a", filled(1))).toThrow(WRITE_ONLY);
      expect(() => writer.openNamed(purpose, "a", reader.sealNamed(purpose, "a", filled(1)))).toThrow(
        WRITE_ONLY,
      );
      // A backup of its own, put there: under another name and for another purpose it would not open anyhow.
      const forged = writer.sealNamed("backup", "a", filled(1));
      expect(() => reader.openNamed(purpose, "a", forged)).toThrow(DAMAGED);
      const header = encodeSealedHeader(WRITER, PACK_MAGIC, 0, undefined).header;
      expect(() => decodeSealedHeader(READER, PACK_MAGIC, header, "x", "vouched")).toThrow(DAMAGED);
    },
  );

  test("opens what it has sealed itself as long as it is at work, and nobody else's", async () => {
    const atWork = { ...WRITER, recall: filled(0x5a) };
    const { bytes, packId } = makePack(atWork, objects);
    expect((await readWhole(atWork, packId, bytes)).blocks).toHaveLength(1);
    expect((await readWhole(READER, packId, bytes)).blocks).toHaveLength(1);
    await expect(readWhole({ ...atWork, recall: filled(0x5b) }, packId, bytes)).rejects.toThrow(DAMAGED);
    await expect(readWhole({ ...atWork, writerId: filled(8, 16) }, packId, bytes)).rejects.toThrow(
      WRITE_ONLY,
    );
    const other = makePack(WRITER, objects);
    await expect(
      readWhole({ ...atWork, writerId: filled(8, 16) }, other.packId, other.bytes),
    ).rejects.toThrow(WRITE_ONLY);
  });

  test("opens again what it has sealed to be remembered, by a secret of its own, and nobody sees which that is", async () => {
    const remembering = { ...WRITER, recall: filled(0x5a), remembered: filled(0x6b) };
    const later = { ...WRITER, writerId: filled(8, 16), recall: filled(0x5c), remembered: filled(0x6b) };
    const another = { ...later, remembered: filled(0x6c) };
    const objects = [{ ...data("page"), kind: "manifest" } as const];
    const pack = (isRemembered: boolean) => {
      const writer = new PackWriter(remembering, { packKind: "meta", compression: "fast", isRemembered });
      const parts = [writer.header()];
      for (const object of objects) writer.add(object);
      parts.push(writer.finish());
      return { packId: writer.packId, bytes: Buffer.concat(parts) };
    };
    const [one, two, other] = [pack(true), pack(true), pack(false)];
    for (const { packId, bytes } of [one, two])
      for (const context of [remembering, later, READER])
        expect((await readWhole(context, packId, bytes)).blocks).toHaveLength(1);
    for (const { packId, bytes } of [one, two, other])
      for (const context of [another, WRITER])
        await expect(readWhole(context, packId, bytes)).rejects.toThrow(WRITE_ONLY);
    await expect(readWhole(later, other.packId, other.bytes)).rejects.toThrow(WRITE_ONLY);
    const writerOfPack = ({ bytes }: { bytes: Buffer }) => bytes.subarray(49, 65).toString("hex");
    expect(new Set([one, two, other].map(writerOfPack)).size).toBe(3);
    const root = new Sealer(remembering).sealNamed("backup", "backups/one", filled(1));
    expect(new Sealer(later).openNamed("backup", "backups/one", root)).toEqual(Buffer.from(filled(1)));
    expect(() => new Sealer(another).openNamed("backup", "backups/one", root)).toThrow(WRITE_ONLY);
    expect(() => new Sealer(READER).openNamed("backup", "backups/one", root, "readers")).toThrow(DAMAGED);
  });

  test("is heard in its own epoch: a reader without that agreement key opens nothing of it", () => {
    const { bytes, packId } = makePack(WRITER, objects);
    const other = sealContextOf(newKeySet());
    const later = { ...READER, epochs: READER.epochs.map((epoch) => ({ ...epoch, number: 2 })) };
    const without = {
      ...READER,
      epochs: READER.epochs.map(({ number, contentKey }) => ({ number, contentKey })),
    };
    for (const context of [other, later, without])
      expect(() => PackSeal.open(context, packId, bytes)).toThrow(DAMAGED);
  });

  test("shows every flipped bit of a header", () => {
    const { header } = encodeSealedHeader(WRITER, PACK_MAGIC, 1, undefined);
    for (let bit = 0; bit < header.length * 8; bit++) {
      const bad = Buffer.from(header);
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(() => decodeSealedHeader(READER, PACK_MAGIC, bad, "x"), `bit ${bit}`).toThrow(DAMAGED);
    }
  });
});
