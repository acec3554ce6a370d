/**
 * Several commands at work in one repository at the same time (backups of two servers, prune, a restore), of which some
 * are killed at any moment. The real command line; `CYRVAULT_SEED` for other moments, `CYRVAULT_ROUNDS` for more of them.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { advanceServer } from "../../src/sample/advance.ts";
import { generateServer } from "../../src/sample/generate.ts";
import { SampleServer } from "../../src/sample/sample-server.ts";
import {
  type CliResult,
  expectCode,
  type RunningCli,
  runJson,
  runJsonLines,
  startCli,
} from "../support/cli.ts";
import { checkErrors, restoreDifferences } from "../support/local-repository.ts";
import { randomOf } from "../support/power-cut.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { compareTrees, readTree, type Tree } from "../support/tree-compare.ts";
import { comparable } from "../unit/restore/restore-fixture.ts";

const SEED = Number(process.env["CYRVAULT_SEED"] ?? 20_261_122);
const ROUNDS = Number(process.env["CYRVAULT_ROUNDS"] ?? 12);
const SERVERS = ["one", "two"] as const;
const TIMEOUT_MS = 120_000 + ROUNDS * 60_000;
/** Of so many rounds the last reads every byte again. */
const READ_ALL_EVERY = 4;

interface Completed {
  readonly server: string;
  readonly tree: Tree;
}

class Site implements Disposable {
  readonly dir: TempDir = tempDir();
  readonly repository = this.dir.in("repository");
  readonly env = { CYRVAULT_REPO: this.repository };
  /** Backups in the list, by id. */
  readonly completed = new Map<string, Completed>();
  readonly trees = new Map<string, Tree>();
  #days = 0;

  generate(): void {
    for (const name of SERVERS) {
      generateServer(this.server(name), { users: 3, foldersPerUser: 4, messages: 400, documentScale: 0.05 });
      this.trees.set(name, readTree(this.server(name)));
    }
  }

  server(name: string): string {
    return this.dir.in(name);
  }

  /** A day goes by for both. */
  advance(): void {
    this.#days++;
    for (const name of SERVERS) {
      advanceServer(SampleServer.open(this.server(name)), { day: this.#days, share: 0.6 });
      this.trees.set(name, readTree(this.server(name)));
    }
  }

  /** @param as - another name makes it a first backup, which has much to do. */
  backup(name: string, as: string): RunningCli {
    const config = ["--config", join(this.server(name), "etc/imapd.conf"), "--server", as];
    return startCli(["backup", ...config, "--checkpoint-bytes", "200000"], { env: this.env });
  }

  prune(): RunningCli {
    return startCli(["prune", "--grace", "0", "--max-unused", "0"], { env: this.env });
  }

  restore(backup: string, target: string): RunningCli {
    const args = ["restore", backup, "--target", target, "--overwrite", "if-different"];
    return startCli(args, { env: this.env });
  }

  listed(...parts: string[]): string[] {
    try {
      return readdirSync(join(this.repository, ...parts));
    } catch {
      return [];
    }
  }

  /** Whatever is in the list is complete: it was made of the servers as they are now, or is known. */
  async takeUp(): Promise<void> {
    const listed = new Set(this.listed("backups"));
    for (const backup of this.completed.keys()) expect(listed.has(backup), `${backup} has gone`).toBe(true);
    const unknown = [...listed].filter((backup) => !this.completed.has(backup));
    if (unknown.length === 0) return;
    const lines = await runJsonLines<{ backup: string; server: string }>(["list"], { env: this.env });
    for (const backup of unknown) {
      const server = lines.find((line) => line.backup === backup)?.server.replace(/-.*/, "") ?? "";
      this.completed.set(backup, { server, tree: this.trees.get(server) as Tree });
    }
  }

  async differences(backup: string): Promise<string[]> {
    const { server, tree } = this.completed.get(backup) as Completed;
    return await restoreDifferences(this.repository, backup, tree, this.server(server));
  }

  [Symbol.dispose](): void {
    this.dir.remove();
  }
}

test(
  "killed side by side, nothing that was completed is lost, and everything can be run again",
  async () => {
    using site = new Site();
    site.generate();
    await runJson(["init", "--no-encryption"], { env: site.env });
    const next = randomOf(SEED);
    const began = Date.now();
    for (const name of SERVERS) expectCode(["backup"], await site.backup(name, name).result);
    const oneBackupMs = (Date.now() - began) / SERVERS.length;
    await site.takeUp();

    const killed = new Map<string, number>();
    const ended = new Map<string, number>();
    const count = (counts: Map<string, number>, what: string) =>
      counts.set(what, (counts.get(what) ?? 0) + 1);
    const maybeKill = async (what: string, running: RunningCli): Promise<CliResult> => {
      if (next() < 0.75) {
        await delay(next() * oneBackupMs * 1.2);
        running.process.kill("SIGKILL");
      }
      const result = await running.result;
      if (result.signal !== null) count(killed, what);
      else {
        expectCode([what], result);
        count(ended, what);
      }
      return result;
    };

    for (let round = 0; round < ROUNDS; round++) {
      if (round % 3 === 2) {
        site.advance();
        await runJson(["forget", "--keep-last", "1"], { env: site.env });
        const kept = new Set(site.listed("backups"));
        for (const backup of site.completed.keys()) if (!kept.has(backup)) site.completed.delete(backup);
      }
      const work: Promise<CliResult>[] = [];
      for (const name of SERVERS) {
        const isFirst = next() < 0.5;
        work.push(maybeKill("backup", site.backup(name, isFirst ? `${name}-${round}` : name)));
      }
      if (next() < 0.6) work.push(maybeKill("prune", site.prune()));
      const chosen = [...site.completed.keys()][Math.floor(next() * site.completed.size)] as string;
      const target = site.dir.in(`restored ${round}`);
      work.push(maybeKill("restore", site.restore(chosen, target)));
      await Promise.all(work);

      await site.takeUp();
      const readAll = round % READ_ALL_EVERY === READ_ALL_EVERY - 1;
      expect(await checkErrors(site.repository, readAll ? 100 : 0), `round ${round}`).toEqual([]);
      // A restore that was killed is run again into what it left.
      expectCode(["restore"], await site.restore(chosen, target).result);
      const { server, tree } = site.completed.get(chosen) as Completed;
      expect(compareTrees(tree, readTree(join(target, site.server(server))), comparable)).toEqual([]);
      const newest = [...site.completed.keys()].sort().at(-1) as string;
      expect(await site.differences(newest), `round ${round}`).toEqual([]);
    }

    for (const name of SERVERS) expectCode(["backup"], await site.backup(name, name).result);
    await site.takeUp();
    expectCode(["prune"], await site.prune().result);
    for (const backup of site.completed.keys()) expect(await site.differences(backup), backup).toEqual([]);
    expect(await checkErrors(site.repository, 100)).toEqual([]);
    expect(site.listed("runs"), "no run is at work").toEqual([]);
    const shown = (counts: ReadonlyMap<string, number>) =>
      [...counts].map(([what, n]) => `${n} × ${what}`).join(", ");
    process.stdout.write(
      `seed ${SEED}, ${ROUNDS} rounds: killed ${shown(killed)}; not killed ${shown(ended)}; ${site.completed.size} backups whole\n`,
    );
    expect([...killed.values()].reduce((sum, n) => sum + n, 0)).toBeGreaterThan(ROUNDS / 2);
  },
  TIMEOUT_MS,
);
