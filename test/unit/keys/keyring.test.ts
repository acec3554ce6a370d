import { describe, expect, test } from "vitest";
import type { Backend } from "../../../src/backend/backend.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { Keyring } from "../../../src/keys/keyring.ts";
import { KEYS_PREFIX } from "../../../src/store/keys.ts";
import { decodePaperKey } from "../../../src/store/paper-key.ts";
import { initRepository, openRepository } from "../../../src/store/repository.ts";
import type { Secret } from "../../../src/store/secret.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import { assemble, backUp, CHEAP, content, readEverything } from "../store/repository-fixture.ts";

const NEW = { nowMs: 1000, scrypt: CHEAP };
const FILE = { kind: "secret-file", bytes: content("secret file", 64) } as const;

async function encrypted(password = "first"): Promise<MemoryBackend> {
  const backend = new MemoryBackend();
  await initRepository(backend, { password, scrypt: CHEAP });
  return backend;
}

async function opens(backend: Backend, secret: Secret): Promise<boolean> {
  try {
    await (await openRepository(backend, { assemble, password: secret })).close();
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: "PASSWORD_WRONG" });
    return false;
  }
}

async function keyNames(backend: Backend): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of backend.list(KEYS_PREFIX)) names.push(name);
  return names.sort();
}

/** A backend whose n-th change fails, and all after it: what a crash there leaves behind. */
function crashing(inner: MemoryBackend, after: number): Backend {
  let left = after;
  const change = async <T>(act: () => Promise<T>): Promise<T> => {
    if (left-- <= 0) throw new CyrvaultError("IO", "crash");
    return await act();
  };
  return {
    properties: inner.properties,
    create: (name, bytes) => change(() => inner.create(name, bytes)),
    replace: (name, bytes) => change(() => inner.replace(name, bytes)),
    remove: (name) => change(() => inner.remove(name)),
    begin: (name) => inner.begin(name),
    read: (name, most) => inner.read(name, most),
    readRange: (name, offset, length) => inner.readRange(name, offset, length),
    size: (name) => inner.size(name),
    list: (prefix) => inner.list(prefix),
    close: async () => undefined,
  };
}

describe("keys of a repository", () => {
  test("of which one cannot be read: a password that opens none of the others is not called wrong", async () => {
    const backend = await encrypted();
    const [name] = await keyNames(backend);
    const broken = faultyBackend(backend, {
      failAt: (_, operation, of) => operation === "read" && of === name,
    });
    await expect(Keyring.open(broken, "first")).rejects.toMatchObject({
      code: "IO",
      message: expect.stringContaining(name as string),
    });
    await (await Keyring.open(backend, "first")).add("second", NEW);
    const [another] = (await keyNames(backend)).filter((one) => one !== name);
    expect(another).toBeDefined();
    await expect(Keyring.open(broken, "second")).resolves.toBeDefined();
    await expect(Keyring.open(broken, "first")).rejects.toMatchObject({ code: "IO" });
  });

  test("are several, each of which opens it, and one that is removed does not", async () => {
    const backend = await encrypted();
    const keyring = await Keyring.open(backend, "first");
    const second = await keyring.add("second", NEW);
    const file = await keyring.add(FILE, NEW);
    for (const secret of ["first", "second", FILE]) expect(await opens(backend, secret)).toBe(true);
    expect(await opens(backend, "third")).toBe(false);
    expect(await opens(backend, { kind: "secret-file", bytes: content("another", 64) })).toBe(false);

    const listed = await keyring.list();
    expect(listed.map(({ inUse, opensWith }) => [inUse, opensWith]).sort()).toEqual([
      [false, "key file"],
      [false, "password"],
      [true, "password"],
    ]);
    await keyring.remove(await keyring.planRemoval([second.id.slice(0, 10), file.id]));
    expect(await opens(backend, "first")).toBe(true);
    for (const secret of ["second", FILE]) expect(await opens(backend, secret)).toBe(false);
  });

  test("stay as they are when one is added a second time", async () => {
    const backend = await encrypted();
    const keyring = await Keyring.open(backend, "first");
    const added = await keyring.add("second", NEW);
    expect(await keyring.add("second", NEW)).toEqual({ id: added.id, isNew: false });
    expect((await keyring.add("first", NEW)).isNew).toBe(false);
    expect(await keyNames(backend)).toHaveLength(2);
  });

  test("never go to the last: neither the one in use nor all sound ones", async () => {
    const backend = await encrypted();
    const keyring = await Keyring.open(backend, "first");
    const [own] = await keyring.list();
    await expect(keyring.planRemoval([own?.id ?? ""])).rejects.toMatchObject({ code: "KEY_NEEDED" });
    const damaged = `${KEYS_PREFIX}${"ab".repeat(16)}.json`;
    await backend.create(damaged, Buffer.from("rubbish"));
    const paper = decodePaperKey(Buffer.from(keyring.paper().join("\n")), "p");
    const fromPaper = await Keyring.open(backend, { kind: "paper", ...paper });
    expect((await fromPaper.list()).map(({ inUse }) => inUse)).toEqual([false, false]);
    await expect(fromPaper.planRemoval([own?.id ?? ""])).rejects.toMatchObject({ code: "KEY_NEEDED" });
    await fromPaper.remove(await fromPaper.planRemoval(["abab"]));
    expect(await keyNames(backend)).toEqual([`${KEYS_PREFIX}${own?.id}.json`]);
  });

  test("are meant by the beginning of their ids, if that means one", async () => {
    const backend = await encrypted();
    const keyring = await Keyring.open(backend, "first");
    for (let i = 0; i < 17; i++) await keyring.add(`password ${i}`, NEW);
    for (const none of ["", "x", "../", "ffffffffff"])
      await expect(keyring.planRemoval([none]), none).rejects.toMatchObject({ code: "KEY_NOT_FOUND" });
    const letters = (await keyring.list()).map(({ id }) => id[0] as string);
    const twice = letters.find((letter, i) => letters.indexOf(letter) !== i) as string;
    await expect(keyring.planRemoval([twice])).rejects.toMatchObject({ code: "KEY_AMBIGUOUS" });
  });

  test("are replaced so that a crash anywhere leaves one that opens, and a second try ends it", async () => {
    for (let after = 0; after < 3; after++) {
      const backend = await encrypted();
      const keyring = await Keyring.open(crashing(backend, after), "first");
      const replacing = keyring.replace(keyring.planReplacement(), "second", NEW);
      if (after < 2) await expect(replacing).rejects.toMatchObject({ code: "IO" });
      else await replacing;
      expect([await opens(backend, "first"), await opens(backend, "second")], `after ${after}`).toEqual([
        after < 2,
        after > 0,
      ]);
      if (after === 2) continue;
      const again = await Keyring.open(backend, "first");
      await again.replace(again.planReplacement(), "second", NEW);
      expect([await opens(backend, "first"), await opens(backend, "second")]).toEqual([false, true]);
      expect(await keyNames(backend)).toHaveLength(1);
    }
  });

  test("replaced by the same password stay", async () => {
    const backend = await encrypted();
    const keyring = await Keyring.open(backend, "first");
    await keyring.replace(keyring.planReplacement(), "first", NEW);
    expect(await opens(backend, "first")).toBe(true);
  });

  test("that two remove from each other at once are not both gone", async () => {
    const backend = await encrypted();
    const one = await Keyring.open(backend, "first");
    await one.add("second", NEW);
    const two = await Keyring.open(backend, "second");
    const [own] = (await one.list()).filter(({ inUse }) => inUse);
    const plans = [
      await one.planRemoval((await one.list()).filter(({ inUse }) => !inUse).map(({ id }) => id)),
      await two.planRemoval([own?.id ?? ""]),
    ] as const;
    await Promise.all([one.remove(plans[0]), two.remove(plans[1])]);
    expect((await keyNames(backend)).length).toBeGreaterThan(0);
    expect((await opens(backend, "first")) || (await opens(backend, "second"))).toBe(true);
  });

  test("one that cannot be read does not keep another from opening, and is named in the list", async () => {
    const backend = await encrypted();
    const broken = `${KEYS_PREFIX}${"00".repeat(16)}.json`;
    await backend.create(broken, Buffer.alloc(300_000));
    expect(await opens(backend, "first")).toBe(true);
    const listed = await (await Keyring.open(backend, "first")).list();
    expect(listed.at(-1)).toMatchObject({ id: "00".repeat(16), damage: expect.stringContaining("keys/") });
  });

  test("do not change where a newer version would have to write", async () => {
    const backend = await encrypted();
    const keyring = await Keyring.open(backend, "first");
    Object.assign(keyring, { config: { ...keyring.config, features: { read: [], write: ["later"] } } });
    await expect(keyring.add("second", NEW)).rejects.toMatchObject({ code: "REPOSITORY_VERSION" });
  });

  test("do not exist without encryption", async () => {
    const backend = new MemoryBackend();
    await initRepository(backend, { noEncryption: true });
    await expect(Keyring.open(backend, undefined)).rejects.toMatchObject({ code: "USAGE" });
    await expect(Keyring.open(backend, "x")).rejects.toMatchObject({ code: "PASSWORD_UNUSED" });
  });
});

describe("a key on paper", () => {
  test("opens what is stored when all key files are lost, and gives the repository a new password", async () => {
    const backend = await encrypted();
    const repository = await openRepository(backend, { assemble, password: "first" });
    await backUp(repository, [content("mail"), content("more mail")]);
    await repository.close();
    const paper = (await Keyring.open(backend, "first")).paper().join("\n");
    for (const name of await keyNames(backend)) await backend.remove(name);
    await expect(Keyring.open(backend, "first")).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });

    const key: Secret = { kind: "paper", ...decodePaperKey(Buffer.from(paper), "paper") };
    const opened = await openRepository(backend, { assemble, password: key });
    expect(await readEverything(opened)).toBe(1);
    await opened.close();
    await (await Keyring.open(backend, key)).add("after the fire", NEW);
    expect(await opens(backend, "after the fire")).toBe(true);
  });

  test("opens no other repository, and replaces no password", async () => {
    const [one, two] = [await encrypted(), await encrypted()];
    const paper = (await Keyring.open(one, "first")).paper().join("\n");
    const key: Secret = { kind: "paper", ...decodePaperKey(Buffer.from(paper), "paper") };
    await expect(Keyring.open(two, key)).rejects.toMatchObject({ code: "PASSWORD_WRONG" });
    expect(() => (key.kind === "paper" ? key.keySet : undefined)).not.toThrow();
    const keyring = await Keyring.open(one, key);
    expect(() => keyring.planReplacement()).toThrow(expect.objectContaining({ code: "USAGE" }));
  });
});
