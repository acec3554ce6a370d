/**
 * Fills a Cyrus server with one of everything that a backup has to bring back, through the protocols that clients
 * and mail servers use. Content is the same on every run; what Cyrus adds (ids, times of receipt) is not.
 */
import type { CyrusServer } from "./cyrus-server.ts";
import { ImapClient, quote } from "./imap-client.ts";
import { LmtpClient } from "./lmtp-client.ts";
import { type Attachment, MailWriter } from "./sample-mail.ts";
import { SieveClient } from "./sieve-client.ts";

/** Size of the biggest message's attachment before base64: the message is a little over 30 MB. */
const BIG_ATTACHMENT_BYTES = 22_000_000;

/** Users and shared folders are created with `fill`; `more` adds Emil. */
export interface Scenario {
  readonly users: readonly string[];
}

export async function fillServer(server: CyrusServer): Promise<Scenario> {
  const sep = server.separator;
  const users = ["anna", "bruno", server.layout === "uuid" ? "carla.stein" : "carla"];
  if (server.layout === "legacy") users.push("gus@other.example");
  const [anna = "", bruno = "", carla = ""] = users;
  const mail = new MailWriter("first");

  const admin = await ImapClient.connect(server.ports.imap);
  for (const user of users) await admin.command(`CREATE ${quote(`user${sep}${user}`)}`);
  await admin.command("CREATE shared");
  await admin.command(`CREATE shared${sep}plans second`);
  await admin.command("SETACL shared anyone lrsp");
  await admin.command(`SETACL shared${sep}plans anyone lrs`);
  await admin.command(`SETACL shared${sep}plans bruno lrswipkxtecda`);
  await admin.command(`SETQUOTA user${sep}${anna} (STORAGE 100000 MESSAGE 5000)`);
  await admin.command(`SETQUOTA user${sep}${bruno} (STORAGE 20000)`);
  await admin.command(`SETMETADATA "" (/shared/comment "the sample server")`);
  // Not on a shared folder: imapd 3.6.1 dies of SETMETADATA there.
  await admin.command(`SETMETADATA user${sep}${bruno} (/shared/comment "set by the admin")`);

  await deliver(server, mail, users, 40);
  await fillAnna(server, mail, anna, bruno);
  await fillBruno(server, mail, anna, bruno);
  await fillCarla(server, mail, carla);
  await admin.logout();
  return { users };
}

/** The second day: some of everything changed, most of it not. */
export async function moreMail(server: CyrusServer, scenario: Scenario): Promise<Scenario> {
  const sep = server.separator;
  const [anna = "", bruno = ""] = scenario.users;
  const mail = new MailWriter("second");
  const admin = await ImapClient.connect(server.ports.imap);
  await admin.command(`CREATE user${sep}emil`);
  await admin.command(`SETQUOTA user${sep}anna (STORAGE 200000)`);
  const users = [...scenario.users, "emil"];
  await deliver(server, mail, [anna, bruno, "emil"], 10);
  await admin.logout();

  const client = await ImapClient.connect(server.ports.imap, anna);
  await client.select("INBOX");
  const [first, second, third] = await client.uids();
  await client.command(`UID STORE ${first},${second} +FLAGS (\\Flagged NewKeyword)`);
  await client.command(`UID STORE ${third} +FLAGS (\\Deleted)`);
  await client.command("EXPUNGE");
  await client.command(`CREATE INBOX${sep}Later`);
  await client.append(`INBOX${sep}Later`, mail.message({ subject: "on the second day" }), {
    flags: ["\\Seen"],
  });
  await client.command(`RENAME INBOX${sep}Work INBOX${sep}Office`);
  await client.command(`DELETE INBOX${sep}Archive${sep}Projects`);
  await client.command(`UNSUBSCRIBE INBOX${sep}Work`);
  await client.command(`SUBSCRIBE INBOX${sep}Later`);
  await client.logout();
  const sieve = await SieveClient.connect(server.ports.sieve, anna);
  await sieve.put("holiday", 'require "vacation";\r\nvacation "Away until Monday.";\r\n');
  await sieve.activate("holiday");
  await sieve.logout();
  return { users };
}

/** One in three goes to several people at once; one in four carries attachments, some of them the same ones again. */
async function deliver(
  server: CyrusServer,
  mail: MailWriter,
  users: readonly string[],
  count: number,
): Promise<void> {
  const client = await LmtpClient.connect(server.ports.lmtp);
  const circulating: Attachment = {
    type: "application/pdf",
    name: "newsletter.pdf",
    content: mail.picture(90_000),
  };
  for (let i = 0; i < count; i++) {
    const attachments: Attachment[] = [];
    if (i % 4 === 0) attachments.push(circulating);
    if (i % 8 === 0) {
      attachments.push({ type: "application/msword", name: "draft.doc", content: mail.document(30_000 + i) });
    }
    const recipients = i % 3 === 0 ? users : [users[i % users.length] as string];
    await client.deliver(recipients, mail.message({ attachments }));
  }
  await client.quit();
}

async function fillAnna(server: CyrusServer, mail: MailWriter, anna: string, bruno: string): Promise<void> {
  const sep = server.separator;
  const client = await ImapClient.connect(server.ports.imap, anna);
  const folder = (...names: string[]) => ["INBOX", ...names].join(sep);
  // Modified UTF-7: Entwürfe, 日本語, and an ampersand.
  const folders = ["Work", "Empty", "Entw&APw-rfe", "&ZeVnLIqe-", "Q&-A", "With space", "Old", "Projects"];
  for (const name of folders) await client.command(`CREATE ${quote(folder(name))}`);
  await client.command(`CREATE ${folder("Sent")} (USE (\\Sent))`);
  await client.command(`CREATE ${folder("Archive")}`);

  const plain = mail.message({ subject: "the original" });
  await client.append(folder("Work"), plain, { flags: ["\\Seen"], date: "05-Mar-2019 10:00:00 +0100" });
  await client.append(folder("Work"), mail.forward(plain), { flags: ["\\Answered", "$Forwarded"] });
  const wrapped = mail.message({
    subject: "with the original as a file",
    attachments: [{ type: "application/octet-stream", name: "original.eml", content: plain }],
  });
  await client.append(folder("Work"), wrapped, {
    flags: ["\\Flagged", "$Label1", "NonJunk", "custom-keyword"],
  });
  await client.append(folder("Work"), mail.rawEightBit(), { date: "31-Dec-1999 23:59:59 -0800" });
  const malformed = mail.malformed();
  // IMAP refuses some of them; LMTP has to take what other servers send.
  for (const message of malformed.slice(1, 3)) {
    await client.append(folder("Entw&APw-rfe"), message, { flags: ["Draft"] });
  }
  const delivery = await LmtpClient.connect(server.ports.lmtp);
  for (const message of malformed) await delivery.deliver([anna, bruno], message);
  await delivery.quit();
  for (const name of ["&ZeVnLIqe-", "Q&-A", "With space"]) await client.append(folder(name), mail.message());
  const big = mail.message({
    subject: "thirty megabytes",
    attachments: [{ type: "video/mp4", name: "film.mp4", content: mail.picture(BIG_ATTACHMENT_BYTES) }],
  });
  await client.append(folder("Projects"), big);
  await client.append(folder("Projects"), mail.message(), { flags: ["\\Seen"] });
  await client.append(folder("Sent"), mail.message(), { flags: ["\\Seen"] });
  for (let i = 0; i < 4; i++) await client.append(folder("Old"), mail.message());

  await client.select("INBOX");
  const uids = await client.uids();
  const [a, b, c, d, e, f] = uids;
  await client.command(`UID STORE ${a},${b},${c} +FLAGS (\\Seen)`);
  await client.command(`UID STORE ${b} +FLAGS (\\Answered $MDNSent)`);
  await client.command(`UID COPY ${a},${b},${c},${d} ${folder("Work")}`);
  await client.command(`UID STORE ${e},${f} +FLAGS (\\Deleted)`);
  await client.command("EXPUNGE");
  await client.command(
    `UID STORE ${a} ANNOTATION (/comment (value.priv "mine alone" value.shared "for all to read"))`,
  );
  await client.select(folder("Work"));
  const copied = await client.uids();
  await client.command(`UID STORE ${copied.at(-1)} +FLAGS (\\Deleted)`);
  await client.command("EXPUNGE");

  await client.command(
    `SETMETADATA ${folder("Work")} (/shared/comment "shared words" /private/comment "own words")`,
  );
  await client.command(`SETMETADATA INBOX (/private/comment ${quote('quote " and backslash \\')})`);
  await client.command(`RENAME ${folder("Projects")} ${folder("Archive", "Projects")}`);
  // The deleted folder stays readable for the admin, who alone can name it.
  await client.command(`SETACL ${folder("Old")} cyrus lrs`);
  await client.command(`DELETE ${folder("Old")}`);
  await client.command(`SETACL ${folder("Work")} ${bruno} lrs`);
  await client.command(`SETACL ${folder("Sent")} ${bruno} l`);
  for (const name of ["Work", "Entw&APw-rfe", "&ZeVnLIqe-"])
    await client.command(`SUBSCRIBE ${quote(folder(name))}`);
  await client.command(`SUBSCRIBE shared${sep}plans`);
  await client.logout();

  const sieve = await SieveClient.connect(server.ports.sieve, anna);
  await sieve.put(
    "main",
    'require "fileinto";\r\nif header :contains "subject" "zzz" { fileinto "INBOX"; }\r\n',
  );
  await sieve.put("unused", "# kept for another time: \u00e4\u00f6\u00fc\r\nkeep;\r\n");
  await sieve.activate("main");
  await sieve.logout();
}

/** Bruno reads some of Anna's folder: his seen state, not hers. */
async function fillBruno(server: CyrusServer, mail: MailWriter, anna: string, bruno: string): Promise<void> {
  const sep = server.separator;
  const client = await ImapClient.connect(server.ports.imap, bruno);
  await client.select(`user${sep}${anna}${sep}Work`);
  const [first, , third] = await client.uids();
  await client.command(`UID STORE ${first},${third} +FLAGS (\\Seen)`);
  await client.command(`SUBSCRIBE user${sep}${anna}${sep}Work`);
  await client.append(`shared${sep}plans`, mail.message({ subject: "plans for everybody" }), {
    flags: ["\\Flagged"],
  });
  await client.select("INBOX");
  const uids = await client.uids();
  await client.command(`UID STORE ${uids.at(-1)} +FLAGS (\\Seen)`);
  await client.logout();
}

/** Carla's folders lie several levels deep, with nothing in between. */
async function fillCarla(server: CyrusServer, mail: MailWriter, carla: string): Promise<void> {
  const sep = server.separator;
  const client = await ImapClient.connect(server.ports.imap, carla);
  const deep = ["INBOX", "2019", "quarter1", "march"].join(sep);
  await client.command(`CREATE ${deep}`);
  await client.append(deep, mail.message(), { date: "01-Mar-2019 00:00:00 +0000" });
  await client.select("INBOX");
  await client.command("UID STORE 1:* +FLAGS (\\Deleted)");
  await client.command("EXPUNGE");
  await client.logout();
}
