/** Reads JSON that may have been damaged or made by a newer version: field by field, nothing assumed, what is unknown ignored. */
import { CyrvaultError, type ErrorCode } from "../base/errors.ts";

/** Reads one value or throws through `at`. */
export type Read<T> = (value: unknown, at: JsonPlace) => T;

/** Where in the document a value stands, for the error. */
export class JsonPlace {
  readonly #what: string;
  readonly #code: ErrorCode;
  readonly #path: string;

  /** @param what - names the document: `manifest root`. */
  constructor(what: string, code: ErrorCode = "REPOSITORY_DAMAGED", path = "") {
    this.#what = what;
    this.#code = code;
    this.#path = path;
  }

  below(name: string | number): JsonPlace {
    const path = this.#path === "" ? String(name) : `${this.#path}.${name}`;
    return new JsonPlace(this.#what, this.#code, path);
  }

  wrong(expected: string): CyrvaultError {
    const where = this.#path === "" ? this.#what : `${this.#what}, ${this.#path}`;
    return new CyrvaultError(this.#code, `${where}: not ${expected}`);
  }
}

/** One object of which fields are read. */
export class JsonFields {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #at: JsonPlace;

  constructor(value: unknown, at: JsonPlace) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw at.wrong("an object");
    this.#fields = value as Record<string, unknown>;
    this.#at = at;
  }

  read<T>(name: string, read: Read<T>): T {
    const value = Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
    return read(value, this.#at.below(name));
  }

  entries(): [string, unknown, JsonPlace][] {
    return Object.entries(this.#fields).map(([name, value]) => [name, value, this.#at.below(name)]);
  }
}

export const aString: Read<string> = (value, at) => {
  if (typeof value !== "string") throw at.wrong("a text");
  return value;
};

export const aBoolean: Read<boolean> = (value, at) => {
  if (typeof value !== "boolean") throw at.wrong("true or false");
  return value;
};

/** A safe integer, not negative. */
export const aCount: Read<number> = (value, at) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw at.wrong("a whole number");
  return value as number;
};

/** null and an absent field become undefined. */
export function optional<T>(read: Read<T>): Read<T | undefined> {
  return (value, at) => (value === null || value === undefined ? undefined : read(value, at));
}

export function oneOf<T extends string>(...values: readonly T[]): Read<T> {
  return (value, at) => {
    if (!values.includes(value as T)) throw at.wrong(`one of ${values.join(", ")}`);
    return value as T;
  };
}

export function listOf<T>(read: Read<T>): Read<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw at.wrong("a list");
    return value.map((item, i) => read(item, at.below(i)));
  };
}

export const texts: Read<Readonly<Record<string, string>>> = (value, at) =>
  Object.fromEntries(
    new JsonFields(value, at).entries().map(([name, text, place]) => [name, aString(text, place)]),
  );

/** An object, by a function that reads its fields. */
export function anObject<T>(read: (fields: JsonFields) => T): Read<T> {
  return (value, at) => read(new JsonFields(value, at));
}
