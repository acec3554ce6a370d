/** What lies beside the text dumps: what they hold, and the commands that bring them back. docs/operating.md has the same. */

/** In the configdirectory, as Cyrus's user, with the server stopped. */
const COMMANDS = String.raw`# annotations
rm -f annotations.db
cvt_cyrusdb $PWD/cyrvault-text-dumps/annotations.flat flat $PWD/annotations.db twoskip

# quotas, with their usage (instead of quotalegacy: what quota_db says)
cvt_cyrusdb $PWD/cyrvault-text-dumps/quotas.flat flat $PWD/quotas.db quotalegacy

# subscriptions: a flat file for each user
cut -f1 cyrvault-text-dumps/subscriptions.txt | uniq | xargs -rd '\n' dirname | xargs -rd '\n' mkdir -p
LC_ALL=C awk -F'\t' '$1 != f { close(f); f = $1 } { print $2 "\t" $3 > f }' cyrvault-text-dumps/subscriptions.txt

# seen state: first a flat file for each user, then the database that Cyrus wants
cut -f1 cyrvault-text-dumps/seen.txt | uniq | xargs -rd '\n' dirname | xargs -rd '\n' mkdir -p
LC_ALL=C awk -F'\t' '$1 != f { close(f ".flat"); f = $1 } { print $2 "\t" $3 > (f ".flat") }' cyrvault-text-dumps/seen.txt
cut -f1 cyrvault-text-dumps/seen.txt | uniq | while read -r f; do
  rm -f "$f"
  cvt_cyrusdb "$PWD/$f.flat" flat "$PWD/$f" twoskip
  rm "$f.flat"
done`;

export function textDumpReadme(): string {
  return `What these files hold, as it was when the backup was made. Columns are separated by tabs. NUL, tab, line
ends and 0xFF inside a column are written as 0xFF and the byte with its top bit set.

annotations.flat   annotations.db in Cyrus's flat format
annotations.txt    the same to be read: mailbox (uniqueid, or name before 3.6; empty: the server), entry,
                   user (empty: shared; [.OwNeR.]: the owner), value, name of the mailbox
seen.txt           file below the configdirectory, uniqueid of the mailbox, what was read (1, last time, last UID,
                   last change, UIDs), user, name of the mailbox
subscriptions.txt  file below the configdirectory, key, value, user, name of the mailbox
quotas.txt         quota root, resource (S storage, M messages, AS annotations, NF folders), used, limit (S and AS: KiB)
quotas.flat        the same in Cyrus's flat format

To bring them back, where the mailboxes are there with the uniqueids that they had. As the user of Cyrus, with the
server stopped, in the configdirectory:

${COMMANDS}

One limit by hand, on the running server, in cyradm: setquota user.anna STORAGE 100000
`;
}
