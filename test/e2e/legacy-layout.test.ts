import { test } from "vitest";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { proveTwoDays } from "../support/two-day-backup.ts";
import { makeWorkspace } from "../support/workspace.ts";

describeWithCyrus("a server with named, hashed directories, meta and archive partitions", () => {
  test("comes back byte for byte from both of two backups, and clients see no difference", async () => {
    await proveTwoDays(makeWorkspace(), { layout: "legacy" });
  });
});
