import { expect, test } from "vitest";
import { type QuiesceGiven, quiesceOf } from "../../../src/cli/quiesce-options.ts";
import { forTwoPasses } from "../../../src/cli/two-pass.ts";
import type { Provider } from "../../../src/snapshot/method.ts";
import { CONFIG, World } from "../snapshot/quiesce-world.ts";

function quiesce(given: QuiesceGiven): ReturnType<typeof quiesceOf> {
  const host = new World();
  const provider = { name: "lvm", isFrozen: true } as Provider;
  const log = { error: () => {}, warning: () => {}, info: () => {}, debug: () => {} };
  return quiesceOf(given, {
    host,
    mark: "",
    config: CONFIG,
    provider,
    stateDirectory: "/var/lib/cyrvault",
    log,
  });
}

test("each way to hold Cyrus has its name, and nothing is held by default", () => {
  expect(quiesce({}).name).toBe("none");
  for (const name of ["none", "stop", "withlock", "freeze"])
    expect(quiesce({ quiesce: name }).name).toBe(name);
});

test("what cannot be meant is a mistake of usage", () => {
  const wrong: readonly QuiesceGiven[] = [
    { quiesce: "pause" },
    { quiesce: "stop", maxDowntime: "0" },
    { quiesce: "stop", stopCommand: "halt" },
    { quiesce: "stop", startCommand: "begin" },
    { quiesce: "freeze", stopCommand: "halt", startCommand: "begin" },
    { quiesce: "stop", wait: "soon" },
    { quiesce: "stop", maxDowntime: "-5m" },
  ];
  for (const given of wrong)
    expect(() => quiesce(given), JSON.stringify(given)).toThrow(expect.objectContaining({ code: "USAGE" }));
  expect(quiesce({ quiesce: "stop", stopCommand: "halt", startCommand: "begin", wait: "2h" }).name).toBe(
    "stop",
  );
});

test("two passes stop Cyrus where nothing else was asked for", () => {
  expect(forTwoPasses({ snapshot: "none", quiesce: "none" }).quiesce).toBe("stop");
  expect(forTwoPasses({ snapshot: "lvm", quiesce: "none" }).quiesce).toBe("none");
  expect(forTwoPasses({ snapshot: "none", quiesce: "freeze" }).quiesce).toBe("freeze");
});
