import type { Backend, BackendFile, BackendWriter } from "../../src/backend/backend.ts";
import { ioError } from "../../src/base/io-error.ts";

export interface Faults {
  /** Calls that fail, counted from 1 over everything the backend and its writers are asked to do. */
  readonly failAt: (call: number, operation: string, name: string) => boolean;
  /** `after`: the effect takes place and the answer is lost. Default `before`. */
  readonly when?: "before" | "after";
  /** Of the operating system. Default EIO. */
  readonly code?: string;
}

export interface FaultyBackend extends Backend {
  /** What was asked so far, failed calls included: `create packs/00/a`. */
  readonly calls: readonly string[];
}

/**
 * Fails where it is told to. Whatever fails, a name is absent or complete: content is never torn, for that is what
 * every backend promises.
 */
export function faultyBackend(inner: Backend, faults: Faults): FaultyBackend {
  const calls: string[] = [];

  async function run<T>(operation: string, name: string, call: () => Promise<T>): Promise<T> {
    calls.push(`${operation} ${name}`);
    if (!faults.failAt(calls.length, operation, name)) return await call();
    if (faults.when === "after") await call();
    throw fault(operation, name);
  }

  function fault(operation: string, name: string): Error {
    const code = faults.code ?? "EIO";
    return ioError(
      `cannot ${operation} ${name}`,
      Object.assign(new Error(`${code}: a planted fault`), { code }),
    );
  }

  const faultyWriter = (name: string, writer: BackendWriter): BackendWriter => ({
    append: (bytes) => run("append", name, () => writer.append(bytes)),
    commit: () => run("commit", name, () => writer.commit()),
    abort: () => writer.abort(),
  });

  /** A list is one call; `after` here means after the first file. */
  async function* list(prefix: string): AsyncGenerator<BackendFile, void, undefined> {
    calls.push(`list ${prefix}`);
    const fails = faults.failAt(calls.length, "list", prefix);
    if (fails && faults.when !== "after") throw fault("list", prefix);
    for await (const file of inner.list(prefix)) {
      yield file;
      if (fails) break;
    }
    if (fails) throw fault("list", prefix);
  }

  return {
    calls,
    properties: inner.properties,
    create: (name, bytes) => run("create", name, () => inner.create(name, bytes)),
    begin: (name) => run("begin", name, async () => faultyWriter(name, await inner.begin(name))),
    replace: (name, bytes) => run("replace", name, () => inner.replace(name, bytes)),
    read: (name, maxBytes) => run("read", name, () => inner.read(name, maxBytes)),
    readRange: (name, offset, length) => run("readRange", name, () => inner.readRange(name, offset, length)),
    size: (name) => run("size", name, () => inner.size(name)),
    list,
    remove: (name) => run("remove", name, () => inner.remove(name)),
    close: () => inner.close(),
  };
}
