import type { RateLimit } from "../base/rate-limit.ts";
import type { Backend } from "./backend.ts";

/** Does as `inner` does, but writes no faster than `limit` allows. */
export function limited(inner: Backend, limit: RateLimit): Backend {
  return {
    properties: inner.properties,
    async create(name, bytes) {
      await limit.take(bytes.length);
      await inner.create(name, bytes);
    },
    async begin(name) {
      const writer = await inner.begin(name);
      return {
        async append(bytes) {
          await limit.take(bytes.length);
          await writer.append(bytes);
        },
        commit: () => writer.commit(),
        abort: () => writer.abort(),
      };
    },
    async replace(name, bytes) {
      await limit.take(bytes.length);
      await inner.replace(name, bytes);
    },
    read: (name, maxBytes) => inner.read(name, maxBytes),
    readRange: (name, offset, length) => inner.readRange(name, offset, length),
    size: (name) => inner.size(name),
    list: (prefix) => inner.list(prefix),
    remove: (name) => inner.remove(name),
    close: () => inner.close(),
  };
}
