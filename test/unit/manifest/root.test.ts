import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import type { ManifestRoot } from "../../../src/manifest/model.ts";
import { decodeRoot, encodeRoot } from "../../../src/manifest/root.ts";
import { answersOrRefuses, contents, testId, trees } from "./support.ts";

test("a root that would be too large is refused by name, and is no bug", () => {
  const leftOut = Array.from({ length: 200_000 }, (_, i) => ({
    path: `user.somebody.with.a.longish.name.${i}`,
    reason: "mailbox excluded (--exclude-mailbox)",
    files: 0,
    bytes: 0,
  }));
  expect(() => encodeRoot({ ...sampleRoot, leftOut })).toThrow(
    expect.objectContaining({ code: "USAGE", message: expect.stringContaining("too large") }),
  );
});

const sampleRoot: ManifestRoot = {
  format: 1,
  backup: "20261120T030000Z-1a2b3c4d",
  parent: "20261119T030000Z-00ff00ff",
  server: "mail.example.org",
  host: "backup1",
  startedMs: 1_795_143_600_000,
  completedMs: 1_795_143_655_000,
  cutMs: 1_795_143_590_000,
  view: { kind: "lvm", consistency: "crash-consistent" },
  cyrus: { version: "3.6.1", layout: { fulldirhash: "0", "partition-default": "/var/spool/cyrus/mail" } },
  roots: [{ kind: "partition", name: "default", path: fromText("/var/spool/cyrus/mail") }],
  selection: { excludeMailboxes: ["user.tmp.*"], includes: [], withoutDerivable: false, withSearch: true },
  leftOut: [{ path: "/var/lib/cyrus/proc", reason: "disposable", files: 3, bytes: 300 }],
  acceptRules: ["guid-absent", "file-unreadable:/var/lib/cyrus/x"],
  users: { "0": "root", "76": "cyrus" },
  groups: { "8": "mail" },
  mailboxes: { page: testId("mailboxes"), height: 1, entries: 698 },
  files: { page: testId("files"), height: 0, entries: 40 },
  findings: { page: undefined, height: 0, entries: 0 },
  mailboxList: { form: "objects", size: 70_000, ids: [testId("list")] },
  counts: {
    mailboxes: 698,
    changed: 3,
    unchanged: 694,
    new: 1,
    gone: 0,
    messages: 31_895,
    messagesNew: 12,
    messagesRead: 12,
    files: 40,
    findings: { note: 0, warning: 0, error: 0, accepted: 0 },
  },
  bytes: { source: 2_630_000_000, read: 240_000, added: 200_000, stored: 60_000 },
};

test("what a filter left out is in the selection; without one the bytes are what they always were", () => {
  const selection = {
    ...sampleRoot.selection,
    excludeLarger: 1000,
    excludeOlderMs: 5,
    excludeSpecialUse: ["\\Junk"],
  };
  expect(decodeRoot(encodeRoot({ ...sampleRoot, selection })).selection).toEqual(selection);
  expect(Buffer.from(encodeRoot(sampleRoot)).toString()).not.toContain("excludeLarger");
  expect(decodeRoot(encodeRoot(sampleRoot))).toEqual(sampleRoot);
});

const changed = (change: (root: Record<string, unknown>) => void): Uint8Array => {
  const root = JSON.parse(Buffer.from(encodeRoot(sampleRoot)).toString()) as Record<string, unknown>;
  change(root);
  return Buffer.from(JSON.stringify(root));
};

/** Every value in the document, as the path to it. */
function placesIn(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [path];
  const below = Object.entries(value).flatMap(([name, inner]) => placesIn(inner, [...path, name]));
  return path.length === 0 ? below : [path, ...below];
}

describe("a manifest root", () => {
  test("gives back every value", () => {
    fc.assert(
      fc.property(
        fc.option(contents, { nil: undefined }),
        trees,
        fc.string({ unit: "binary" }),
        fc.dictionary(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), {
          noNullPrototype: true,
        }),
        (mailboxList, tree, server, layout) => {
          const root: ManifestRoot = {
            ...sampleRoot,
            server,
            mailboxList,
            mailboxes: tree,
            cyrus: { version: undefined, layout },
            parent: undefined,
          };
          expect(decodeRoot(encodeRoot(root))).toStrictEqual(root);
        },
      ),
    );
  });

  test("gives back every path, and says it as text where it is text", () => {
    const parts = fc.oneof(fc.constantFrom(..."\\/x5ce4ä€".split("")), fc.integer({ min: 1, max: 255 }));
    const written = (path: ByteString): unknown =>
      JSON.parse(
        Buffer.from(encodeRoot({ ...sampleRoot, roots: [{ kind: "sieve", name: "", path }] })).toString(),
      ).roots[0].path;
    fc.assert(
      fc.property(fc.array(parts), (path) => {
        const bytes = path.map((part) =>
          typeof part === "string" ? fromText(part) : String.fromCharCode(part),
        );
        const roots = [{ kind: "sieve", name: "", path: bytes.join("") as ByteString }] as const;
        expect(decodeRoot(encodeRoot({ ...sampleRoot, roots })).roots).toEqual(roots);
      }),
    );
    expect(written(fromText("/päth/of\\xe4"))).toBe("/päth/of\\x5cxe4");
    expect(written("/p\u00e4\\" as ByteString)).toBe("/p\\xe4\\x5c");
  });

  test("has the same bytes in whatever order its fields were set", () => {
    const turned = Object.fromEntries(Object.entries(sampleRoot).reverse()) as unknown as ManifestRoot;
    const users = { "76": "cyrus", "0": "root" };
    expect(Buffer.compare(encodeRoot({ ...turned, users }), encodeRoot(sampleRoot))).toBe(0);
  });

  test("may have fields that this version does not know", () => {
    const bytes = changed((root) => {
      root["later"] = { a: [1] };
      (root["view"] as Record<string, unknown>)["more"] = true;
    });
    expect(decodeRoot(bytes)).toStrictEqual(sampleRoot);
  });

  test("made before there were rules has none", () => {
    expect(decodeRoot(changed((root) => delete root["acceptRules"])).acceptRules).toEqual([]);
  });

  test("of another format is refused as such", () => {
    const bytes = changed((root) => {
      root["format"] = 2;
    });
    expect(() => decodeRoot(bytes)).toThrow(expect.objectContaining({ code: "REPOSITORY_VERSION" }));
  });

  test("with any one value of another type is refused, by the name of its place", () => {
    const places = placesIn(JSON.parse(Buffer.from(encodeRoot(sampleRoot)).toString()));
    expect(places.length).toBeGreaterThan(60);
    for (const path of places) {
      const bytes = changed((root) => {
        let at = root;
        for (const name of path.slice(0, -1)) at = at[name] as Record<string, unknown>;
        at[path.at(-1) as string] = -1;
      });
      expect(() => decodeRoot(bytes), path.join(".")).toThrow(
        expect.objectContaining({
          code: "REPOSITORY_DAMAGED",
          message: expect.stringContaining(path.join(".")),
        }),
      );
    }
  });

  test("cut short or changed is refused or answered, nothing else", () => {
    const bytes = encodeRoot(sampleRoot);
    for (let length = 0; length < bytes.length; length += 7)
      expect(() => decodeRoot(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: "REPOSITORY_DAMAGED" }),
      );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const copy = Buffer.from(bytes);
        copy[at] = value;
        answersOrRefuses(() => decodeRoot(copy));
      }),
      { numRuns: 300 },
    );
    fc.assert(fc.property(fc.json(), (text) => answersOrRefuses(() => decodeRoot(Buffer.from(text)))));
  });

  test.each([
    ["an id that is no id", "mailboxes", { page: "00", height: 0, entries: 1 }],
    ["a tree with entries and no page", "files", { page: null, height: 0, entries: 1 }],
    ["a tree too high", "files", { page: "00".repeat(32), height: 9, entries: 1 }],
    ["a form of content that is unknown", "mailboxList", { form: "else" }],
    ["bytes that are not base64", "mailboxList", { form: "inline", bytes: "a-b" }],
    ["too many bytes inside", "mailboxList", { form: "inline", bytes: Buffer.alloc(513).toString("base64") }],
    ["an owner without a number", "users", { cyrus: "76" }],
  ])("with %s is refused", (_what, name, value) => {
    const bytes = changed((root) => {
      root[name] = value;
    });
    expect(() => decodeRoot(bytes)).toThrow(expect.objectContaining({ code: "REPOSITORY_DAMAGED" }));
  });
});
