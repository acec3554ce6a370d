import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { openBackend } from "../../../src/backend/open-backend.ts";
import { tempDir } from "../../support/temp-dir.ts";

describe("openBackend()", () => {
  test("takes a directory by path, relative path and URL", async () => {
    using dir = tempDir();
    const places: [location: string, directory: string][] = [
      [dir.path, dir.path],
      [`${dir.path}/`, dir.path],
      ["repo", `${process.cwd()}/repo`],
      ["./sftp:repo", `${process.cwd()}/sftp:repo`],
      [`file:${dir.path}`, dir.path],
      [pathToFileURL(dir.in("with space")).href, dir.in("with space")],
      ["FILE:///backup", "/backup"],
    ];
    for (const [location, directory] of places)
      expect((await openBackend(location)).properties.localDirectory, location).toBe(directory);
  });

  test.each(["sftp://host/path", "sftp:host:/path", "s3:bucket/path", "S3://bucket"])(
    "says of %s that it is not supported yet",
    async (location) => {
      await expect(openBackend(location)).rejects.toMatchObject({
        code: "USAGE",
        message: expect.stringContaining("not supported yet"),
      });
    },
  );

  test.each(["", "a\0b", "rest:http://host/", "file:", "file://another-host/path"])(
    "refuses %j as a place",
    async (location) => {
      await expect(openBackend(location)).rejects.toMatchObject({ code: "USAGE" });
    },
  );
});
