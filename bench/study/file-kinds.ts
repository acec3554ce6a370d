/** Cyrus's own files by what they are, as the table of the study names them. */

const KINDS: readonly (readonly [RegExp, string])[] = [
  [/\/cyrus\.header$/, "cyrus.header"],
  [/\/cyrus\.index$/, "cyrus.index"],
  [/\/cyrus\.cache$/, "cyrus.cache"],
  [/\/cyrus\.annotations$/, "cyrus.annotations"],
  [/^conf\/mailboxes\.db$/, "mailboxes.db"],
  [/^conf\/annotations\.db$/, "annotations.db"],
  [/^conf\/user\/.*conversations(\.db)?$/, "conversations"],
  [/^conf\/user\/.*seen(\.db)?$/, "seen"],
  [/^conf\/user\/.*sub(\.db)?$/, "sub"],
  [/^conf\/user\/.*counters(\.db)?$/, "counters"],
  [/^conf\/quota\//, "quota"],
  [/^conf\/db\.backup[12]\//, "db.backup1, db.backup2"],
  [/^conf\/(deliver|tls_sessions|statuscache|ptscache)\.db$/, "deliver.db etc. (left out)"],
];

export const DATABASES: ReadonlySet<string> = new Set([
  "cyrus.annotations",
  "mailboxes.db",
  "annotations.db",
  "conversations",
  "seen",
]);

export function kindOf(path: string): string {
  for (const [pattern, kind] of KINDS) if (pattern.test(path)) return kind;
  return "other";
}

export function isLeftOut(kind: string): boolean {
  return kind.endsWith("(left out)");
}
