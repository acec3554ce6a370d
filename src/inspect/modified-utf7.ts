/** IMAP's modified UTF-7 (RFC 3501, section 5.1.3), in which Cyrus keeps the names of mailboxes. */

/** Printable ASCII stays, `&` too: what is typed may be encoded already. */
export function toModifiedUtf7(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, (run) => {
    const utf16 = Buffer.from(run, "utf16le").swap16();
    return `&${utf16.toString("base64").replaceAll("/", ",").replace(/=+$/, "")}-`;
  });
}
