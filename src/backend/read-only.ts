import { CyrvaultError } from "../base/errors.ts";
import type { Backend } from "./backend.ts";

/** Reads as `inner` does; whatever would write is refused before `inner` hears of it. */
export function readOnly(inner: Backend): Backend {
  const refuse = async (name: string): Promise<never> => {
    throw new CyrvaultError("IO", `cannot write ${name}: ${inner.properties.description} is open read-only`, {
      context: { name },
    });
  };
  return {
    properties: inner.properties,
    create: refuse,
    begin: refuse,
    replace: refuse,
    remove: refuse,
    read: (name, maxBytes) => inner.read(name, maxBytes),
    readRange: (name, offset, length) => inner.readRange(name, offset, length),
    size: (name) => inner.size(name),
    list: (prefix) => inner.list(prefix),
    close: () => inner.close(),
  };
}
