import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { withIdentity } from "../../../src/base/posix-identity.ts";
import { tempDir } from "../../support/temp-dir.ts";

const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
/** Of nobody on any system; only root can be them. */
const THEY = { uid: 61_234, gid: 61_235 };

test("as ourselves it is just done", () => {
  expect(withIdentity(own, () => 7)).toBe(7);
});

describe("somebody else", () => {
  /** Nobody but root can be another. */
  const isRefused = (): boolean => {
    if (own.uid === 0) return false;
    expect(() => withIdentity(THEY, () => 1)).toThrow(expect.objectContaining({ code: "IO" }));
    return true;
  };

  test("makes files that belong to another, with no more than their rights", () => {
    if (isRefused()) return;
    using dir = tempDir();
    chmodSync(dir.path, 0o755);
    mkdirSync(dir.in("theirs"));
    chownSync(dir.in("theirs"), THEY.uid, THEY.gid);
    withIdentity(THEY, () => writeFileSync(dir.in("theirs", "file"), ""));
    expect(statSync(dir.in("theirs", "file"))).toMatchObject(THEY);
    expect(() => withIdentity(THEY, () => writeFileSync(dir.in("no"), ""))).toThrow("EACCES");
    writeFileSync(dir.in("mine"), "");
    expect(statSync(dir.in("mine"))).toMatchObject({ uid: 0, gid: own.gid });
  });

  test("is given up again after a failure", () => {
    if (isRefused()) return;
    expect(() =>
      withIdentity(THEY, () => {
        throw new Error("planted");
      }),
    ).toThrow("planted");
    using dir = tempDir();
    writeFileSync(dir.in("mine"), "");
    expect(statSync(dir.in("mine"))).toMatchObject({ uid: 0, gid: own.gid });
  });
});
