/** Ends a process that leads a group of its own, with all that it has started there. Nothing where it has gone. */
export function endGroup(leader: number | undefined, signal: "SIGTERM" | "SIGKILL"): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, signal);
  } catch {
    // It has just ended.
  }
}
