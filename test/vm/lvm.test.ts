import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { generateServer } from "../../src/sample/generate.ts";
import { CLI } from "../support/cli.ts";
import { describeWith } from "../support/describe-with.ts";
import { runInGuest, virtualMachineMissing } from "../support/vm/virtual-machine.ts";

const SCENARIO = readFileSync(join(import.meta.dirname, "../support/vm/lvm-scenario.sh"), "utf8");
/** The kernel's package is kept from run to run. */
const KEPT = process.env["CYRVAULT_VM_DIR"] ?? join(tmpdir(), "cyrvault-vm");
/** Thin volumes and refusals are some minutes more, of what the made-up machines of the unit tests have seen. */
const WHOLE = process.env["CYRVAULT_HEAVY"] !== undefined;
const TIMEOUT_MS = WHOLE ? 1_800_000 : 840_000;

describeWith(
  virtualMachineMissing(),
  "a virtual machine can be started",
  "real LVM, in a virtual machine",
  () => {
    test(
      "snapshots of thick and thin volumes with XFS and ext4 are taken, read and given back, also after an overflow and a kill",
      async () => {
        const directory = realpathSync(mkdtempSync(join(tmpdir(), "cyrvault-lvm-")));
        onTestFinished(() => rmSync(directory, { recursive: true }));
        const tree = join(directory, "server");
        generateServer(tree, {
          layout: "uuid",
          users: 4,
          foldersPerUser: 3,
          messages: 150,
          documentScale: 0.05,
        });
        expect(existsSync(join(tree, "spool"))).toBe(true);
        const { exitCode, output } = await runInGuest({
          directory: KEPT,
          script: [
            `TREE=${tree}`,
            `CLI='${process.execPath} ${process.env["CYRVAULT_VM_CLI"] ?? CLI}'`,
            "SLOWLY=2M",
            `WHOLE=${WHOLE ? "yes" : ""}`,
            SCENARIO,
          ].join("\n"),
          diskMb: 1536,
          timeoutMs: TIMEOUT_MS,
          onOutput: (text) => process.stdout.write(text),
        });
        expect(exitCode, output).toBe(0);
        expect(output.match(/^proved: /gm)).toHaveLength(WHOLE ? 8 : 4);
      },
      TIMEOUT_MS + 60_000,
    );
  },
);
