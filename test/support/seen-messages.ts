/** What the users of a server that runs see of the messages that a traffic made. */
import type { CyrusServer } from "./cyrus-server.ts";
import { ImapClient, textOf } from "./imap-client.ts";

/** Message-IDs of a traffic begin so. */
export const TRAFFIC_TOKEN = "traffic-";

/** A message as a server shows it to its user. */
export interface SeenMessage {
  readonly user: string;
  readonly token: string;
  readonly folder: string;
  readonly isFlagged: boolean;
}

/** All messages that users see on a server that runs: what the traffic made, and nothing else. */
export async function messagesOf(server: CyrusServer, users: readonly string[]): Promise<SeenMessage[]> {
  const seen: SeenMessage[] = [];
  for (const user of users) {
    const client = await ImapClient.connect(server.ports.imap, user);
    const rows = await client.command('LIST "" "INBOX*"');
    for (const row of rows) {
      const [, word] = row;
      const folder = textOf(row.at(-1));
      if (row[0] !== "LIST" || word === undefined || textOf(word).includes("\\Noselect")) continue;
      await client.examine(folder);
      for (const { token, isFlagged } of await listMessages(client)) {
        if (token.startsWith(TRAFFIC_TOKEN)) seen.push({ user, token, folder, isFlagged });
      }
    }
    await client.logout();
  }
  return seen;
}

/** Of the folder that is open. */
export async function listMessages(
  client: ImapClient,
): Promise<{ readonly uid: number; readonly token: string; readonly isFlagged: boolean }[]> {
  const messages = await client.fetch("1:*", "UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]");
  return messages.map(({ uid, items }) => {
    const header = [...items].find(([name]) => name.startsWith("BODY["))?.[1];
    const token = /<([^@>]*)@/.exec(textOf(header))?.[1] ?? "";
    return { uid, token, isFlagged: textOf(items.get("FLAGS")).includes("\\Flagged") };
  });
}
