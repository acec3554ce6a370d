import { describe, expect, test } from "vitest";
import { fromText } from "../../../../src/base/byte-string.ts";
import { mailboxLockPath, userLockPath } from "../../../../src/source/live/lock-names.ts";

const PLAIN = { hashImapSpool: false, fullDirHash: false, virtualDomains: false };
const HASHED = { ...PLAIN, hashImapSpool: true };
const FULL = { hashImapSpool: true, fullDirHash: true, virtualDomains: true };

// Names of files that a Cyrus 3.6.1 made.
describe("the lock of a mailbox", () => {
  test.each([
    ["user.anna.Work", undefined, FULL, "B/user/anna/Work.lock"],
    ["shared", undefined, FULL, "T/shared.lock"],
    ["user.anna", "zvs6rclrm0575x8bf0dqxcyf", HASHED, "z/zvs6rclrm0575x8bf0dqxcyf.lock"],
    ["user.anna", "zvs6rclrm0575x8bf0dqxcyf", PLAIN, "zvs6rclrm0575x8bf0dqxcyf.lock"],
    ["user.fred.Work", undefined, PLAIN, "user/fred/Work.lock"],
  ])("%s (%s) lies where Cyrus looks for it", (name, uuid, rules, path) => {
    const mailbox = { name: fromText(name), uuid: uuid === undefined ? undefined : fromText(uuid) };
    expect(mailboxLockPath(mailbox, rules)).toBe(path);
  });
});

describe("the lock of a user", () => {
  test.each([
    ["anna.b", HASHED, "q/*U*anna^b.lock"],
    ["anna", FULL, "H/*U*anna.lock"],
    ["bob@example.com", HASHED, "q/*U*bob@example^com.lock"],
    [undefined, HASHED, "q/*U*.lock"],
    [undefined, FULL, "D/*U*.lock"],
  ])("%s lies where Cyrus looks for it", (user, rules, path) => {
    expect(userLockPath(user === undefined ? undefined : fromText(user), rules)).toBe(path);
  });
});
