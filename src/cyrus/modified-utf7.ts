/** IMAP's modified UTF-7 (RFC 3501, section 5.1.3), in which Cyrus keeps the names of mailboxes. */

/** Printable ASCII stays, `&` too: what is typed may be encoded already. */
export function toModifiedUtf7(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, (run) => {
    const utf16 = Buffer.from(run, "utf16le").swap16();
    return `&${utf16.toString("base64").replaceAll("/", ",").replace(/=+$/, "")}-`;
  });
}

/** What is not modified UTF-7 stays as it is. */
export function fromModifiedUtf7(text: string): string {
  return text.replace(/&([A-Za-z0-9+,]*)-/g, (_, run: string) => {
    if (run === "") return "&";
    const utf16 = Buffer.from(run.replaceAll(",", "/"), "base64");
    return utf16
      .subarray(0, utf16.length & ~1)
      .swap16()
      .toString("utf16le");
  });
}
