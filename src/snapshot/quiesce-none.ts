/** `--quiesce none`: nothing is held. An atomic snapshot is then what a power cut would have left. */
import type { Quiesce } from "./method.ts";

export const quiesceNone: Quiesce = {
  name: "none",
  plan: async () => [],
  begin: async () => undefined,
  end: async () => ({ heldMs: 0, broken: undefined }),
};
