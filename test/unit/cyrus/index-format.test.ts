import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Field, INDEX_VERSIONS, indexFormat } from "../../../src/cyrus/index-format.ts";

const DOCUMENT = readFileSync(new URL("../../../docs/formats/cyrus-index.md", import.meta.url), "utf8");

/** The rows of the table whose head begins like this, cells trimmed. */
function rows(headBegins: string): string[][] {
  const lines = DOCUMENT.split("\n");
  const start = lines.findIndex((line) => line.startsWith(headBegins));
  const end = lines.findIndex((line, i) => i > start && !line.startsWith("|"));
  return lines
    .slice(start, end)
    .filter((_, i) => i !== 1)
    .map((line) =>
      line
        .slice(1, -1)
        .split(" | ")
        .map((cell) => cell.trim()),
    );
}

/** `14, 15` and `16–19` as versions. */
function versions(cell: string): number[] {
  return cell.split(", ").flatMap((part) => {
    const [from = 0, to = from] = part.split("–").map(Number);
    return INDEX_VERSIONS.filter((version) => version >= from && version <= to);
  });
}

const SUFFIX: Readonly<Record<string, string>> = { u64: " q", seconds: " s", nanoseconds: " n" };

function stated(field: Field<string> | undefined): string {
  return field === undefined ? "–" : `${field.offset}${SUFFIX[field.kind] ?? ""}`;
}

describe("the format document and the tables", () => {
  test("state the same sizes", () => {
    const sizes = rows("| version |")
      .slice(1)
      .map(([version, header, record]) => [Number(version), Number(header), Number(record)]);
    expect(sizes).toEqual(
      INDEX_VERSIONS.map((version) => {
        const format = indexFormat(version);
        return [version, format?.headerBytes, format?.recordBytes];
      }),
    );
  });

  test.each([
    ["header", "| field | what | 6, 7 |"],
    ["record", "| field | what | 6 |"],
  ] as const)("state the same place for every field of a %s, in every version", (part, headBegins) => {
    const [head = [], ...body] = rows(headBegins);
    const columns = head.slice(2).map(versions);
    expect(columns.flat()).toEqual([...INDEX_VERSIONS]);
    for (const version of INDEX_VERSIONS) {
      const column = columns.findIndex((it) => it.includes(version)) + 2;
      const fields: readonly Field<string>[] = indexFormat(version)?.[part] ?? [];
      const names = body.map(([name = ""]) => name.slice(1, -1));
      expect(body.map((cells) => cells[column])).toEqual(
        names.map((name) => stated(fields.find((field) => field.name === name))),
      );
      expect(fields.filter((field) => !names.includes(field.name))).toEqual([]);
    }
  });
});
