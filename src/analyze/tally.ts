/** Everything that is counted while messages go by. */
import type { Compression } from "../store/codec.ts";
import { PackMeter } from "./pack-meter.ts";
import { PartCensus, type PartKind } from "./part-census.ts";
import { GroupSums } from "./sampling.ts";

/** From the indexes, of all messages. */
export interface IndexTotals {
  mailboxes: number;
  messages: number;
  bytes: number;
  /** Counted only for a sample. */
  differentMessages: number;
  differentBytes: number;
}

export class Tally {
  readonly share: number;
  readonly indexed: IndexTotals = {
    mailboxes: 0,
    messages: 0,
    bytes: 0,
    differentMessages: 0,
    differentBytes: 0,
  };
  /** Message files of the sample; the rest here is of them too. */
  readonly files = new GroupSums();
  readonly fileBytes = new GroupSums();
  readonly linkedFiles = new GroupSums();
  readonly linkedBytes = new GroupSums();
  readonly messages = new GroupSums();
  readonly messageBytes = new GroupSums();
  /** Of different messages, without the bodies that become parts. */
  readonly ownEncoded = new GroupSums();
  /** The same as it is stored: small base64 bodies decoded. */
  readonly ownStored = new GroupSums();
  readonly encodedBodies: PartCensus;
  readonly decodedBodies: PartCensus;
  readonly attachments: PartCensus;
  readonly chunks: PartCensus;
  readonly texts: PackMeter;
  /** Both kinds in one where everything is read, as a backup packs them; apart in a sample, which has its own mix. */
  readonly parts: Readonly<Record<PartKind, PackMeter>>;
  /** Of the mailboxes whose records are measured. */
  readonly recordedFiles = new GroupSums();
  readonly recordBytes = new GroupSums();
  /** Files below no mailbox: all; those measured; what they came to. */
  siteBytes = 0;
  siteBytesRead = 0;
  siteRecordBytes = 0;
  otherFiles = 0;
  otherBytes = 0;
  missing = 0;
  withoutGuid = 0;
  guidMismatch = 0;
  unreadable = 0;

  constructor(share: number, compression: Compression) {
    this.share = share;
    this.encodedBodies = new PartCensus(share);
    this.decodedBodies = new PartCensus(share);
    this.attachments = new PartCensus(share);
    this.chunks = new PartCensus(share);
    this.texts = new PackMeter("data", compression);
    const attachment = new PackMeter("data", compression);
    this.parts = { attachment, text: share < 1 ? new PackMeter("data", compression) : attachment };
  }
}
