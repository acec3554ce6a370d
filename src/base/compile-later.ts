/** V8's compiler, kept from working longer than what it compiles. Figures: docs/decisions/0010-cost-of-a-first-backup.md. */
import { setFlagsFromString } from "node:v8";

/** Bytes of bytecode that a function runs before it is optimised (V8's own: 132 KiB). Hot loops are there in a moment all the same. */
const INTERRUPT_BUDGET = 800_000;

/**
 * Before threads are started, in commands that work for seconds to minutes: each thread compiles everything for itself,
 * and much of what is optimised by V8's own measure never pays for that. Holds for the threads too.
 */
export function compileLater(): void {
  setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`);
}
