/** recovery/README.txt: for whoever finds a repository, has a key, and has never heard of cyrvault. */

/** What this version of cyrvault knows of a repository without opening a backup. */
export interface RepositoryFacts {
  /** Hex. */
  readonly id: string;
  readonly encrypted: boolean;
  /** Of cyrvault. */
  readonly version: string;
}

const FORMAT_VERSION = 1;

const KEY_OF_AN_ENCRYPTED = `2. A key, any one of them:
   - a password. Put it into a file, alone on its line, and type:

        export CYRVAULT_PASSWORD_FILE=/path/to/that/file

   - a key file, or the paper key (what \`cyrvault key export\` once printed), typed into a file line by line. Type:

        export CYRVAULT_KEY_FILE=/path/to/that/file

   Both readers below know these two names. A paper key opens the repository even if the folder keys/ is lost. A key
   file that was made for a mail server that may only write (\`cyrvault key list\` says so) opens nothing here.
   Without a key nothing comes back: there is no other way in.`;

const NO_KEY = "2. No key: this repository is not encrypted. Whoever can read it can read the mail.";

/** Lines that begin with eight blanks are to be typed as they stand; a test does so. */
export function readmeText({ id, encrypted, version }: RepositoryFacts): string {
  return `How to get the mail back
========================
The directory above this one, with the file cyrvault.json in it, is a cyrvault repository: backups of Cyrus IMAP
servers, with mail, flags, folders, quota and filters.

  repository     ${id}
  format         version ${FORMAT_VERSION}
  encrypted      ${encrypted ? "yes" : "no"}
  written by     cyrvault ${version}

This folder is for somebody who has nothing else. It holds no mail, no names of mailboxes or users, and no password.

  README.txt     this page
  reader.py      one file of Python that reads the whole repository, without cyrvault
  server-*.txt   one for each server: its partitions and options, and what to do, step by step, when all of it was lost

Each backup writes these files anew where they have changed. Nothing needs them: they may be deleted.

What you need
-------------
1. The whole repository, or a copy of it. Nothing in it knows where it lies.
${encrypted ? KEY_OF_AN_ENCRYPTED : NO_KEY}
3. Room for all the mail of one server, and to be root if owners are to come back too.

All commands are typed in the directory that has cyrvault.json. \`../restored\` stands for any new directory.

With cyrvault
-------------
Version ${version} or newer, with Node.js 20.15 or newer.

        cyrvault list --repo .
        cyrvault restore latest --repo . --target ../restored

\`latest\` is the newest backup; where there are several servers, add \`--server NAME\`, or take an id that \`list\` shows.
\`cyrvault restore --help\` shows how to get one user, one folder or one message. A restore prints what to do next.

Without cyrvault
----------------
Python 3.9 or newer with the packages brotli and cryptography (Debian: python3-brotli, python3-cryptography).

        python3 recovery/reader.py . list
        python3 recovery/reader.py . restore latest ../restored

The second one takes the newest backup of all servers; instead of \`latest\`, an id that \`list\` shows. In place of
\`../restored\` it wants a directory that does not exist yet. It names on standard error what it cannot read, and goes on. Then
follow the page of that server, server-*.txt, from its step 1.

Whether all data can still be read:

        python3 recovery/reader.py . check

Can these files be trusted?
---------------------------
As far as everybody who could write to this directory. The backups are sealed${encrypted ? "" : " (here with check sums alone)"};
these files are not, so that they can be read without a key. If in doubt, take reader.py from a copy of cyrvault
(docs/formats/reader.py; \`cyrvault check\` says whether this one is the same), and read commands before you type them.
The format is described in docs/formats there.
`;
}
