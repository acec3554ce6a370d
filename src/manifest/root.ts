/** The manifest root as JSON: docs/formats/manifest.md, section 4. */
import { fromExactText, toExactText } from "../base/byte-string.ts";
import { toHex } from "../base/bytes.ts";
import { assert, CyrvaultError } from "../base/errors.ts";
import { asObjectId, type ObjectId } from "../store/object.ts";
import { isBackupId } from "./backup-id.ts";
import { MAX_IDS_IN_ENTRY, MAX_INLINE_BYTES, MAX_TREE_HEIGHT } from "./content-encoding.ts";
import {
  aBoolean,
  aCount,
  anObject,
  aString,
  JsonFields,
  JsonPlace,
  listOf,
  oneOf,
  optional,
  type Read,
  texts,
} from "./json-fields.ts";
import type { Content, ManifestRoot, PageTree } from "./model.ts";

/** A root is read whole into memory; its long parts (findings, files) are in pages. */
export const MAX_ROOT_BYTES = 16 * 1024 * 1024;

const FORMAT = 1;

/** Fields in the order of this function, whatever the order of `root`: same values, same bytes. */
export function encodeRoot(root: ManifestRoot): Uint8Array {
  assert(isBackupId(root.backup), "a backup has an id");
  const bytes = Buffer.from(
    JSON.stringify({
      format: root.format,
      backup: root.backup,
      parent: root.parent ?? null,
      server: root.server,
      host: root.host,
      startedMs: root.startedMs,
      completedMs: root.completedMs,
      cutMs: root.cutMs,
      view: { kind: root.view.kind, consistency: root.view.consistency },
      cyrus: { version: root.cyrus.version ?? null, layout: sorted(root.cyrus.layout) },
      roots: root.roots.map(({ kind, name, path }) => ({ kind, name, path: toExactText(path) })),
      selection: {
        excludeMailboxes: root.selection.excludeMailboxes,
        includes: root.selection.includes,
        withoutDerivable: root.selection.withoutDerivable,
        withSearch: root.selection.withSearch,
        // Absent where they were not asked for: older readers then see what they know.
        excludeLarger: root.selection.excludeLarger,
        excludeOlderMs: root.selection.excludeOlderMs,
        excludeSpecialUse: root.selection.excludeSpecialUse,
      },
      leftOut: root.leftOut.map(({ path, reason, files, bytes }) => ({ path, reason, files, bytes })),
      acceptRules: root.acceptRules,
      users: sorted(root.users),
      groups: sorted(root.groups),
      mailboxes: treeToJson(root.mailboxes),
      files: treeToJson(root.files),
      findings: treeToJson(root.findings),
      mailboxList: root.mailboxList === undefined ? null : contentToJson(root.mailboxList),
      counts: {
        mailboxes: root.counts.mailboxes,
        changed: root.counts.changed,
        unchanged: root.counts.unchanged,
        new: root.counts.new,
        gone: root.counts.gone,
        messages: root.counts.messages,
        messagesNew: root.counts.messagesNew,
        messagesRead: root.counts.messagesRead,
        files: root.counts.files,
        findings: {
          note: root.counts.findings.note,
          warning: root.counts.findings.warning,
          error: root.counts.findings.error,
          accepted: root.counts.findings.accepted,
        },
      },
      bytes: {
        source: root.bytes.source,
        read: root.bytes.read,
        added: root.bytes.added,
        stored: root.bytes.stored,
      },
    }),
    "utf8",
  );
  if (bytes.length > MAX_ROOT_BYTES)
    throw new CyrvaultError(
      "USAGE",
      `the record of this backup would be too large: ${bytes.length} bytes, of which at most ${MAX_ROOT_BYTES} may be`,
      {
        hint: `it names ${root.leftOut.length} mailboxes and files that are left out, and ${root.acceptRules.length} accepted findings`,
      },
    );
  return bytes;
}

/**
 * Fields that this version doesn't know are ignored.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`; `REPOSITORY_VERSION` for another format.
 */
export function decodeRoot(bytes: Uint8Array): ManifestRoot {
  const at = new JsonPlace("manifest root");
  if (bytes.length > MAX_ROOT_BYTES) throw at.wrong("at most 16 MiB long");
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch {
    throw at.wrong("JSON");
  }
  return readRoot(new JsonFields(value, at));
}

function readRoot(root: JsonFields): ManifestRoot {
  const format = root.read("format", aCount);
  if (format !== FORMAT) {
    throw new CyrvaultError("REPOSITORY_VERSION", `manifest root: format ${format} is not known here`, {
      hint: "read this backup with the version of cyrvault that made it, or a newer one",
      context: { format },
    });
  }
  return {
    format,
    backup: root.read("backup", aBackupId),
    parent: root.read("parent", optional(aBackupId)),
    server: root.read("server", aString),
    host: root.read("host", aString),
    startedMs: root.read("startedMs", aCount),
    completedMs: root.read("completedMs", aCount),
    cutMs: root.read("cutMs", aCount),
    view: root.read(
      "view",
      anObject((view) => ({
        kind: view.read("kind", aString),
        consistency: view.read("consistency", aString),
      })),
    ),
    cyrus: root.read(
      "cyrus",
      anObject((cyrus) => ({
        version: cyrus.read("version", optional(aString)),
        layout: cyrus.read("layout", texts),
      })),
    ),
    roots: root.read(
      "roots",
      listOf(
        anObject((record) => ({
          kind: record.read("kind", aRootKind),
          name: record.read("name", aString),
          path: fromExactText(record.read("path", aString)),
        })),
      ),
    ),
    selection: root.read(
      "selection",
      anObject((selection) => ({
        excludeMailboxes: selection.read("excludeMailboxes", listOf(aString)),
        includes: selection.read("includes", listOf(aString)),
        withoutDerivable: selection.read("withoutDerivable", aBoolean),
        withSearch: selection.read("withSearch", aBoolean),
        ...present("excludeLarger", selection.read("excludeLarger", optional(aCount))),
        ...present("excludeOlderMs", selection.read("excludeOlderMs", optional(aCount))),
        ...present("excludeSpecialUse", selection.read("excludeSpecialUse", optional(listOf(aString)))),
      })),
    ),
    leftOut: root.read(
      "leftOut",
      listOf(
        anObject((left) => ({
          path: left.read("path", aString),
          reason: left.read("reason", aString),
          files: left.read("files", aCount),
          bytes: left.read("bytes", aCount),
        })),
      ),
    ),
    acceptRules: root.read("acceptRules", optional(listOf(aString))) ?? [],
    users: root.read("users", ownerNames),
    groups: root.read("groups", ownerNames),
    mailboxes: root.read("mailboxes", aTree),
    files: root.read("files", aTree),
    findings: root.read("findings", aTree),
    mailboxList: root.read("mailboxList", optional(aContent)),
    counts: root.read("counts", aCounts),
    bytes: root.read(
      "bytes",
      anObject((sum) => ({
        source: sum.read("source", aCount),
        read: sum.read("read", aCount),
        added: sum.read("added", aCount),
        stored: sum.read("stored", aCount),
      })),
    ),
  };
}

function present<K extends string, V>(name: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [name]: value } as Record<K, V>);
}

const aRootKind = oneOf(
  "config",
  "partition",
  "metapartition",
  "archivepartition",
  "sieve",
  "search",
  "file",
  "include",
);

const aCounts: Read<ManifestRoot["counts"]> = anObject((counts) => ({
  mailboxes: counts.read("mailboxes", aCount),
  changed: counts.read("changed", aCount),
  unchanged: counts.read("unchanged", aCount),
  new: counts.read("new", aCount),
  gone: counts.read("gone", aCount),
  messages: counts.read("messages", aCount),
  messagesNew: counts.read("messagesNew", aCount),
  messagesRead: counts.read("messagesRead", aCount),
  files: counts.read("files", aCount),
  findings: counts.read(
    "findings",
    anObject((findings) => ({
      note: findings.read("note", aCount),
      warning: findings.read("warning", aCount),
      error: findings.read("error", aCount),
      accepted: findings.read("accepted", aCount),
    })),
  ),
}));

const aBackupId: Read<string> = (value, at) => {
  if (typeof value !== "string" || !isBackupId(value)) throw at.wrong("the id of a backup");
  return value;
};

const ownerNames: Read<Readonly<Record<string, string>>> = (value, at) => {
  const names = texts(value, at);
  for (const number of Object.keys(names))
    if (!/^\d{1,10}$/.test(number)) throw at.below(number).wrong("the number of an owner");
  return names;
};

const anId: Read<ObjectId> = (value, at) => {
  if (typeof value !== "string" || !/^[0-9a-f]{64}$/.test(value)) throw at.wrong("an object id");
  return asObjectId(new Uint8Array(Buffer.from(value, "hex")));
};

const aTree: Read<PageTree> = (value, at) => {
  const fields = new JsonFields(value, at);
  const page = fields.read("page", optional(anId));
  const height = fields.read("height", aCount);
  const entries = fields.read("entries", aCount);
  const fits = page === undefined ? height === 0 && entries === 0 : height <= MAX_TREE_HEIGHT && entries > 0;
  if (!fits) throw at.wrong("a page tree");
  return { page, height, entries };
};

const aContent: Read<Content> = (value, at) => {
  const fields = new JsonFields(value, at);
  const form = fields.read("form", oneOf("inline", "objects", "list", "pairs"));
  switch (form) {
    case "inline":
      return { form, bytes: fields.read("bytes", someBase64) };
    case "objects": {
      const ids = fields.read("ids", listOf(anId));
      if (ids.length === 0 || ids.length > MAX_IDS_IN_ENTRY) throw at.wrong("a content of 1 to 64 objects");
      return { form, size: fields.read("size", aCount), ids };
    }
    case "list":
    case "pairs":
      return { form, size: fields.read("size", aCount), list: fields.read("list", anId) };
  }
};

const someBase64: Read<Uint8Array> = (value, at) => {
  const text = aString(value, at);
  const bytes = new Uint8Array(Buffer.from(text, "base64"));
  if (Buffer.from(bytes).toString("base64") !== text || bytes.length > MAX_INLINE_BYTES)
    throw at.wrong("at most 512 bytes in base64");
  return bytes;
};

function treeToJson(tree: PageTree): object {
  return {
    page: tree.page === undefined ? null : toHex(tree.page),
    height: tree.height,
    entries: tree.entries,
  };
}

function contentToJson(content: Content): object {
  switch (content.form) {
    case "inline":
      return { form: content.form, bytes: Buffer.from(content.bytes).toString("base64") };
    case "objects":
      return { form: content.form, size: content.size, ids: content.ids.map(toHex) };
    case "list":
    case "pairs":
      return { form: content.form, size: content.size, list: toHex(content.list) };
  }
}

function sorted(names: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(names).sort(([a], [b]) => (a < b ? -1 : 1)));
}
