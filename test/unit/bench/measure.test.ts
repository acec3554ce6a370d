import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { spread } from "../../../bench/cases/messages.ts";
import { limitMemory } from "../../../bench/measure/cgroup.ts";
import { commandText } from "../../../bench/measure/command.ts";
import { contentsOf } from "../../../bench/measure/disk.ts";
import { parseSmapsRollup } from "../../../bench/measure/memory.ts";
import { parseChildTimes, run } from "../../../bench/measure/run.ts";
import { outermost } from "../../../bench/trees/tree.ts";

describe("parseSmapsRollup()", () => {
  test("adds up what is private and leaves out what is shared", () => {
    const text = [
      "00400000-7fff Rollup [rollup]",
      "Rss:                 300 kB",
      "Pss:                 250 kB",
      "Shared_Clean:         40 kB",
      "Private_Clean:        30 kB",
      "Private_Dirty:       200 kB",
      "Anonymous:           190 kB",
      "Private_Hugetlb:       2 kB",
    ].join("\n");
    expect(parseSmapsRollup(text)).toEqual({
      private: 232 * 1024,
      anonymous: 190 * 1024,
      resident: 300 * 1024,
    });
  });

  test("makes nothing of the empty file of a process that has ended", () => {
    expect(parseSmapsRollup("")).toEqual({ private: 0, anonymous: 0, resident: 0 });
  });
});

test("the processor time of children is found behind a program name with blanks and brackets", () => {
  const fields = Array.from({ length: 40 }, (_, index) => String(index + 3));
  fields[13] = "250";
  fields[14] = "30";
  expect(parseChildTimes(`77 (a ) b) ${fields.join(" ")}`)).toEqual({ user: 2.5, system: 0.3 });
});

describe("commandText()", () => {
  test("can be given to a shell", async () => {
    const argv = ["printf", "%s/%s", "it's", "a b $HOME"];
    const text = commandText({ argv, env: { NAME: "x y" }, cwd: "/tmp" });
    expect(text).toContain("(cd /tmp && NAME='x y' printf");
    const { stdout } = await run({ argv: ["sh", "-c", text] });
    expect(stdout.toString()).toBe("it's/a b $HOME");
  });
});

describe("run()", () => {
  test("gives back the exit code and both outputs", async () => {
    const { exitCode, stdout, stderr } = await run({ argv: ["sh", "-c", "echo out; echo err >&2; exit 7"] });
    expect([exitCode, stdout.toString(), stderr]).toEqual([7, "out\n", "err\n"]);
  });

  test("fails where there is no such program", async () => {
    await expect(run({ argv: ["/nowhere/program"] })).rejects.toThrow("ENOENT");
  });
});

describe("on disk", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "cyrvault-bench-test-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test("counts a file under two names once, and follows no link", () => {
    mkdirSync(join(directory, "below"));
    writeFileSync(join(directory, "a"), "12345");
    linkSync(join(directory, "a"), join(directory, "below/b"));
    symlinkSync(join(directory, "a"), join(directory, "below/c"));
    writeFileSync(join(directory, "below/d"), "123");
    const { files, bytes } = contentsOf([directory]);
    expect({ files, bytes }).toEqual({ files: 2, bytes: 8 });
    expect(contentsOf([join(directory, "a"), join(directory, "nothing")]).bytes).toBe(5);
  });

  test("memory is not limited, and the reason is said, where no control group controls it", () => {
    const mounts = `cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\nnone ${directory} cgroup2 rw 0 0\n`;
    expect(limitMemory(1, "cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n")).toBe(
      "control groups are not mounted",
    );
    writeFileSync(join(directory, "cgroup.controllers"), "hugetlb pids\n");
    expect(limitMemory(1, mounts)).toContain("only hugetlb pids");
    writeFileSync(join(directory, "cgroup.controllers"), "\n");
    expect(limitMemory(1, mounts)).toContain("nothing");
    writeFileSync(join(directory, "cgroup.controllers"), "cpu memory\n");
    mkdirSync(join(directory, "cgroup.subtree_control"));
    expect(limitMemory(1, mounts)).toContain("no control group can be made");
  });

  test("where version 2 does not control memory, version 1 does, and the limit is set", () => {
    const first = join(directory, "memory");
    mkdirSync(first);
    writeFileSync(join(directory, "cgroup.controllers"), "hugetlb\n");
    const mounts = `cgroup ${first} cgroup rw,memory 0 0\nnone ${directory} cgroup2 rw 0 0\n`;
    const limited = limitMemory(1234, mounts);
    if (typeof limited === "string") expect.fail(limited);
    const [name = ""] = readdirSync(first);
    const group = join(first, name);
    expect(readFileSync(join(group, "memory.limit_in_bytes"), "latin1")).toBe("1234");
    writeFileSync(join(group, "memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    expect(limited.oomKills).toBe(3);
    expect(limited.inside({ argv: ["true"] }).argv).toContain(join(group, "cgroup.procs"));
    expect(limitMemory(1234, mounts), "a second one at the same time").not.toBeTypeOf("string");
    expect(readdirSync(first)).toHaveLength(2);
  });
});

describe("outermost()", () => {
  test("leaves out what lies in another path, not what only begins with its name", () => {
    expect(outermost(["/a/b", "/a", "/ab", "/c"])).toEqual(["/a", "/ab", "/c"]);
  });
});

describe("spread()", () => {
  test("takes from everywhere, and no more than there is", () => {
    expect(spread([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 2)).toEqual([2, 7]);
    expect(spread([1, 2], 5)).toEqual([1, 2]);
    expect(spread([], 5)).toEqual([]);
  });
});
