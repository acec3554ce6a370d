/** Scripts that stop and start a test server from outside, as an administrator's own would: on the same ports. */
import { existsSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import type { CyrusServer } from "./cyrus-server.ts";

export interface CyrusScripts {
  /** Returns when master has ended. */
  readonly stop: string;
  /** Does nothing if it runs. */
  readonly start: string;
}

/** The server has been started once: its services have ports. Whoever starts it by script must stop it by script. */
export async function cyrusScripts(server: CyrusServer): Promise<CyrusScripts> {
  const pidFile = server.path("run/master.pid");
  // One that has ended is still listed until whoever started it has asked how.
  const runs = `grep -q '^State:.[^Z]' "/proc/$(cat ${pidFile} 2>/dev/null)/status" 2>/dev/null`;
  const eatMyData = existsSync("/usr/bin/eatmydata") ? "eatmydata " : "";
  const master = `${eatMyData}/usr/lib/cyrus/bin/master -C ${server.configPath} -M ${server.path("etc/cyrus.conf")}`;
  const scripts = {
    // While clients go on connecting, a master of 3.6.1 may never get to count its children: systemd would kill it, too.
    // After eight seconds, or some more: within the longest downtime that a test allows and what the watchdog adds to it.
    stop: `${runs} || exit 0\nkill -TERM "$(cat ${pidFile})"\nn=0\nwhile ${runs}; do sleep 0.1; n=$((n+1)); [ $n = 80 ] && kill -KILL "$(cat ${pidFile})"; done\nexit 0\n`,
    start: `${runs} && exit 0\nexec ${master} -p ${pidFile} -d\n`,
  };
  const write = async (name: keyof CyrusScripts): Promise<string> => {
    const path = server.path(`etc/${name}.sh`);
    await writeFile(path, `#!/bin/sh\n${scripts[name]}`);
    await chmod(path, 0o755);
    return path;
  };
  return { stop: await write("stop"), start: await write("start") };
}
