/** Which service of systemd a process runs in. */

/**
 * From `/proc/PID/cgroup`, whose lines are `NUMBER:CONTROLLERS:PATH`; of cgroup v2 there is one, `0::PATH`, of v1 the one
 * of systemd counts. The unit is the last component that is a service; what lies below it is the service's own.
 */
export function serviceOfCgroup(text: string): string | undefined {
  const paths = text.split("\n").flatMap((line) => {
    const match = /^\d+:(?:name=systemd)?:(\/.*)$/.exec(line);
    return match?.[1] === undefined ? [] : [match[1]];
  });
  for (const path of paths) {
    const parts = path.split("/");
    // A service of a user's own manager is none of the system's.
    if (parts.some((part) => /^user@\d+\.service$/.test(part))) continue;
    const service = parts.findLast((part) => part.endsWith(".service"));
    if (service !== undefined) return service;
  }
  return undefined;
}
