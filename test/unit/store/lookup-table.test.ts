import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LookupTable } from "../../../src/store/lookup-table.ts";
import { content } from "./repository-fixture.ts";

const idOf = (n: number) => content(`id ${n}`, 32);

function all(table: LookupTable, id: Uint8Array): string[] {
  const found: string[] = [];
  for (let at = table.find(id); at >= 0; at = table.findNext(id, at))
    found.push(`${table.firstAt(at)}/${table.secondAt(at)}`);
  return found.sort();
}

describe("LookupTable", () => {
  test("finds what a map would find, whatever is added and removed", () => {
    const step = fc.record({ id: fc.nat(60), remove: fc.boolean(), first: fc.nat(5), second: fc.nat(1e9) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 3000 }), (steps) => {
        const table = new LookupTable();
        const model = new Map<number, string[]>();
        for (const { id, remove, first, second } of steps) {
          const entries = model.get(id) ?? [];
          if (remove) {
            const at = table.find(idOf(id));
            if (at >= 0) {
              entries.splice(entries.indexOf(`${table.firstAt(at)}/${table.secondAt(at)}`), 1);
              table.removeAt(at);
            }
          } else {
            table.add(idOf(id), first, second);
            entries.push(`${first}/${second}`);
          }
          model.set(id, entries);
        }
        for (const [id, entries] of model) expect(all(table, idOf(id))).toEqual([...entries].sort());
        expect(table.size).toBe([...model.values()].reduce((sum, { length }) => sum + length, 0));
      }),
      { numRuns: 30 },
    );
  });

  test("gives its entries in the order of ids, then of numbers, also where the first 4 bytes are the same", () => {
    const table = new LookupTable();
    const expected: string[] = [];
    for (let n = 0; n < 5000; n++) {
      const id = idOf(n % 2500);
      if (n % 3 === 0) id.fill(7, 0, 4);
      table.add(id, n % 11, n);
      expected.push(`${id.toString("hex", 0, 20)} ${String(n % 11).padStart(5)} ${String(n).padStart(5)}`);
    }
    const sorted: string[] = [];
    for (const { bytes, offset, first, second } of table.sorted())
      sorted.push(
        `${bytes.toString("hex", offset, offset + 20)} ${String(first).padStart(5)} ${String(second).padStart(5)}`,
      );
    expect(sorted).toEqual(expected.sort());
  });

  test("takes at most 8 MiB for 200,000 entries", () => {
    const table = new LookupTable();
    const id = Buffer.alloc(32);
    for (let n = 0; n < 200_000; n++) {
      id.writeUInt32BE(Math.imul(n, 0x9e3779b1) >>> 0, 16);
      id.writeUInt32BE(n, 0);
      table.add(id, 1, n);
    }
    expect(table.memoryBytes).toBeLessThan(8 * 1024 * 1024);
  });
});
