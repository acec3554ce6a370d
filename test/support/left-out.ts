/**
 * What a backup of a server made by `CyrusServer` leaves out on purpose, said here a second time and independently
 * of the product: a file that is missing from a restored tree and not on this list is a loss.
 */
import type { Comparison } from "./tree-compare.ts";

const DISPOSABLE: readonly RegExp[] = [
  // Locks, process tables, sockets and pid files: of a running server only.
  /^run(\/|$)/,
  /^conf\/(lock|proc|socket|log|sync|stats|rpm|ptclient)(\/|$)/,
  /^conf\/(deliver|tls_sessions|statuscache|ptscache|zoneinfo)\.db$/,
  /^conf\/db\/(skipstamp|skipcleanshutdown)$/,
  /^conf\/db\.backup[12](\/|$)/,
  /^conf\/msg\/shutdown$/,
  /^(spool|spool2|archive)\/(stage\.|sync\.)(\/|$)/,
  /(^|\/)(cyrus\.lock|cyrus\.squat|cyrus\.squat\.tmp|[^/]*\.NEW)$/,
];

/** How a restored tree is compared with the server's directory. */
export const COMPARISON: Comparison = {
  ignore: isLeftOut,
  // These two lie above what a server owns: a restore makes them on its way.
  presenceOnly: (path) => path === "." || path === "etc",
};

/** @param path - below the server's directory */
function isLeftOut(path: string): boolean {
  return DISPOSABLE.some((pattern) => pattern.test(path));
}
