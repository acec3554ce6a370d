import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { isWithin, normalise, parseMapping, relativeTo, SourceView } from "../../../src/source/view.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

const bytes = (text: string): ByteString => fromText(text);
const map = (from: string, to: string) => ({ from: bytes(from), to: bytes(to) });

let dir: TempDir;
let view: SourceView;

beforeAll(() => {
  dir = tempDir();
  mkdirSync(dir.in("root/var/spool/mail"), { recursive: true });
  mkdirSync(dir.in("root/data/a"), { recursive: true });
  mkdirSync(dir.in("other"));
  writeFileSync(dir.in("root/data/a/file"), "in the snapshot");
  writeFileSync(dir.in("outside"), "the live tree");
  symlinkSync("/data", dir.in("root/var/absolute"));
  symlinkSync("../data", dir.in("root/var/relative"));
  symlinkSync("absolute", dir.in("root/var/twice"));
  symlinkSync("/loop-b", dir.in("root/loop-a"));
  symlinkSync("loop-a", dir.in("root/loop-b"));
  symlinkSync(dir.in("outside"), dir.in("root/live"));
  symlinkSync("../../../../../../../../outside", dir.in("root/var/upwards"));
  symlinkSync(dir.in("root/data"), dir.in("current"));
  view = new SourceView(bytes(dir.in("root")), []);
});

afterAll(() => dir.remove());

describe("where a path of the server lies", () => {
  test("below the root, and exactly where it says when the root is /", () => {
    expect(new SourceView(bytes("/mnt/snap"), []).locate(bytes("/var/x"))).toBe("/mnt/snap/var/x");
    expect(new SourceView(bytes("/"), []).locate(bytes("/var/x"))).toBe("/var/x");
  });

  test("the longest mapping that covers it decides, in whatever order they are given", () => {
    const mappings = [
      map("/var", "/m/var"),
      map("/var/spool/cyrus", "/m/cyrus"),
      map("/var/spool", "/m/spool"),
    ];
    for (const order of [mappings, [...mappings].reverse()]) {
      const several = new SourceView(bytes("/mnt"), order);
      expect(several.locate(bytes("/var/spool/cyrus/a"))).toBe("/m/cyrus/a");
      expect(several.locate(bytes("/var/spool/cyrus2"))).toBe("/m/spool/cyrus2");
      expect(several.locate(bytes("/var/lib"))).toBe("/m/var/lib");
      expect(several.locate(bytes("/variable"))).toBe("/mnt/variable");
    }
  });

  test("one of our paths has its name on the server, and a path outside of all has none", () => {
    const mapped = new SourceView(bytes("/mnt/snap"), [map("/var/spool", "/mnt/spool")]);
    expect(mapped.serverPathOf(bytes("/mnt/snap/etc/imapd.conf"))).toBe("/etc/imapd.conf");
    expect(mapped.serverPathOf(bytes("/mnt/spool/a"))).toBe("/var/spool/a");
    expect(mapped.serverPathOf(bytes("/mnt/snapshot"))).toBeUndefined();
  });

  test("only a view with a root or a mapping counts as mapped", () => {
    expect(new SourceView(bytes("/"), []).isMapped).toBe(false);
    expect(new SourceView(bytes("//"), []).isMapped).toBe(false);
    expect(new SourceView(bytes("/"), [map("/a", "/b")]).isMapped).toBe(true);
    expect(view.isMapped).toBe(true);
  });
});

describe("symbolic links are followed as if the root were /", () => {
  test.each([
    ["an absolute one", "/var/absolute/a/file"],
    ["a relative one", "/var/relative/a/file"],
    ["one that leads to another", "/var/twice/a/file"],
  ])("%s", (_, path) => {
    expect(view.resolve(bytes(path))).toMatchObject({
      serverPath: "/data/a/file",
      realPath: dir.in("root/data/a/file"),
    });
  });

  test("`..` after a link goes up from where the link leads, as the kernel does", () => {
    expect(view.resolve(bytes("/var/relative/a/../a/file"))?.serverPath).toBe("/data/a/file");
    expect(view.resolve(bytes("/var/absolute/../var/spool"))?.serverPath).toBe("/var/spool");
  });

  test("one that would leave the snapshot leads nowhere, though its target exists in the live tree", () => {
    expect(view.resolve(bytes("/live"))).toBeUndefined();
    expect(view.resolve(bytes("/var/upwards"))).toBeUndefined();
  });

  test("a loop is an error that names the path", () => {
    expect(() => view.resolve(bytes("/loop-a/x"))).toThrowError(
      expect.objectContaining({ code: "SOURCE_INVALID", message: expect.stringContaining("/loop-a/x") }),
    );
  });

  test("a link into a mapped place is opened in the mapping", () => {
    const mapped = new SourceView(view.root, [map("/data", dir.in("other"))]);
    expect(mapped.resolve(bytes("/var/absolute"))).toMatchObject({
      serverPath: "/data",
      realPath: dir.in("other"),
    });
    expect(mapped.resolve(bytes("/var/absolute/a"))).toBeUndefined();
  });

  test("a mapped path may lie below directories that the root does not have", () => {
    const mapped = new SourceView(view.root, [map("/no/such/place", dir.in("other"))]);
    expect(mapped.resolve(bytes("/no/such/place"))?.realPath).toBe(dir.in("other"));
    expect(mapped.resolve(bytes("/no/such/other"))).toBeUndefined();
  });

  test("a mapping to a link on this machine (…/current) keeps the server's path", () => {
    const mapped = new SourceView(bytes("/"), [map("/var/spool/mail", dir.in("current"))]);
    expect(mapped.resolve(bytes("/var/spool/mail/a/file"))).toMatchObject({
      serverPath: "/var/spool/mail/a/file",
      realPath: dir.in("root/data/a/file"),
    });
    expect(mapped.serverPathOf(bytes(dir.in("current/a")))).toBe("/var/spool/mail/a");
  });

  test("a file where a directory should be is nothing, not an error", () => {
    expect(view.resolve(bytes("/data/a/file/below"))).toBeUndefined();
  });
});

describe("a root on another filesystem", () => {
  const shm = "/dev/shm";
  let elsewhere: string;
  beforeAll(() => {
    elsewhere = mkdtempSync(`${shm}/cyrvault-test-`);
  });
  afterAll(() => rmSync(elsewhere, { recursive: true, force: true }));

  test("is refused, with the --map to give", () => {
    const whole = new SourceView(bytes(dir.in("root")), []);
    const resolved = { serverPath: bytes("/var/spool"), realPath: bytes(elsewhere) };
    expect(() => whole.requireSameDevice(resolved, "partition-default")).toThrowError(
      expect.objectContaining({
        code: "SOURCE_INVALID",
        message: expect.stringContaining("partition-default: /var/spool"),
        hint: expect.stringContaining(`--map /var/spool=${elsewhere}`),
      }),
    );
  });

  test("is fine once it is mapped, on the same device, or when the live tree is read", () => {
    const mapped = new SourceView(bytes(dir.in("root")), [map("/var/spool", elsewhere)]);
    mapped.requireSameDevice({ serverPath: bytes("/var/spool"), realPath: bytes(elsewhere) }, "x");
    view.requireSameDevice({ serverPath: bytes("/data"), realPath: bytes(dir.in("root/data")) }, "x");
    new SourceView(bytes("/"), []).requireSameDevice(
      { serverPath: bytes(elsewhere), realPath: bytes(elsewhere) },
      "x",
    );
  });
});

describe("parseMapping()", () => {
  test("takes FROM=TO, normalised", () => {
    expect(parseMapping("/var//spool/=/mnt/./snap/")).toEqual({ from: "/var/spool", to: "/mnt/snap" });
    expect(parseMapping("/a=/b=c")).toEqual({ from: "/a", to: "/b=c" });
    expect(parseMapping("/é=/x").from).toBe("/\xc3\xa9");
  });

  test.each([["/a"], ["=/b"], ["a=/b"], ["/a=b"], ["/a="], [""]])("refuses %j with an example", (text) => {
    expect(() => parseMapping(text)).toThrowError(
      expect.objectContaining({ code: "USAGE", hint: expect.stringContaining("--map /") }),
    );
  });
});

describe("paths", () => {
  test("are normalised without looking at the disk", () => {
    expect(normalise(bytes("//a/./b/../c/"))).toBe("/a/c");
    expect(normalise(bytes("/../.."))).toBe("/");
  });

  test("within means the same or below, not the same beginning", () => {
    expect(isWithin(bytes("/a/b"), bytes("/a"))).toBe(true);
    expect(isWithin(bytes("/ab"), bytes("/a"))).toBe(false);
    expect(isWithin(bytes("/a"), bytes("/"))).toBe(true);
    expect(relativeTo(bytes("/a/b"), bytes("/"))).toBe("a/b");
    expect(relativeTo(bytes("/a/b"), bytes("/a"))).toBe("b");
  });
});
