/**
 * A process of its own: is told a moment, from which on it tries every 5 ms to create the same name as its rivals
 * do in the same millisecond, and says which names it got.
 */
import { openBackend } from "../../src/backend/open-backend.ts";
import { isCyrvaultError } from "../../src/base/errors.ts";

const [location = "", me = "", count = "0"] = process.argv.slice(2);
const backend = await openBackend(location);

process.once("message", async (startMs: number) => {
  const won: number[] = [];
  for (let i = 0; i < Number(count); i++) {
    while (Date.now() < startMs + i * 5);
    try {
      await backend.create(`race/${i}`, Buffer.from(me.repeat(5000)));
      won.push(i);
    } catch (error) {
      if (!isCyrvaultError(error, "NAME_EXISTS")) throw error;
    }
  }
  process.send?.(won, () => process.disconnect());
});
process.send?.("ready");
