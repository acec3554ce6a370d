/**
 * From what was counted to what it means for the whole spool. Where everything was read these are plain sums; of a
 * sample, sums are scaled by the bytes of different messages, which the indexes tell of all of them, and different
 * parts are estimated (estimate-distinct.ts).
 */
import { PACK_BYTES_TARGET } from "../store/pack-types.ts";
import { filterBytes, SegmentShape, widthOf } from "../store/segment-format.ts";
import type { Step } from "./options.ts";
import { STEPS } from "./options.ts";
import type { PackTotals } from "./pack-meter.ts";
import { type Amount, PART_KINDS, type PartCensus, type PartKind } from "./part-census.ts";
import { GROUPS, type Interval, jackknife } from "./sampling.ts";
import type { Tally } from "./tally.ts";

export interface Estimate {
  readonly messages: number;
  readonly bytes: number;
  readonly linked: Amount;
  readonly differentMessages: Amount;
  readonly attachments: Amount;
  readonly differentAttachments: Amount;
  /** What is left after each step, in the order of `STEPS`. */
  readonly left: readonly number[];
  readonly records: number;
  readonly bookkeeping: number;
  readonly total: number;
}

/** @param records - the packs of the manifest. @param without - a group of the sample to leave out; −1: none. */
export function estimate(tally: Tally, records: PackTotals, without = -1): Estimate {
  const { indexed } = tally;
  const sampled = tally.share < 1;
  const share = without < 0 ? tally.share : (tally.share * (GROUPS - 1)) / GROUPS;
  const messagesRead = { count: tally.messages.total(without), bytes: tally.messageBytes.total(without) };
  const differentMessages = sampled
    ? { count: indexed.differentMessages, bytes: indexed.differentBytes }
    : messagesRead;
  const fileBytes = tally.fileBytes.total(without);
  const bytes = sampled ? indexed.bytes : fileBytes;
  const messages = sampled ? indexed.messages : tally.files.total();
  const ofFiles = ratio(bytes, fileBytes);
  // A message's own bytes go with the number of messages; what is left of their size, which is known, is bodies.
  const ofMessages = ratio(differentMessages.count, messagesRead.count);
  const ownEncoded = tally.ownEncoded.total(without) * ofMessages;
  const bodiesMet = tally.encodedBodies.met(without).bytes;
  const ofBodies = ratio(Math.max(bodiesMet, differentMessages.bytes - ownEncoded), bodiesMet);
  const different = (census: PartCensus, kind?: PartKind): Amount => {
    const { count, bytes: size } = census.different(without, kind);
    return sampled
      ? { count: count * ofBodies * share, bytes: size * ofBodies * share }
      : { count, bytes: size };
  };
  // What is a further name of a file is a further file of its message as well.
  const linked = {
    count: Math.min(tally.linkedFiles.total(without) * ofFiles, messages - differentMessages.count),
    bytes: Math.min(tally.linkedBytes.total(without) * ofFiles, bytes - differentMessages.bytes),
  };
  const met = tally.attachments.met(without);
  const own = tally.ownStored.total(without) * ofMessages;
  const texts = tally.texts.totals;
  const kinds = sampled ? PART_KINDS : [undefined];
  const chunks = { count: 0, bytes: 0, stored: 0, frames: 0 };
  for (const kind of kinds) {
    const { count, bytes: size } = different(tally.chunks, kind);
    const packs = tally.parts[kind ?? "attachment"].totals;
    chunks.count += count;
    chunks.bytes += size;
    chunks.stored += size * blockRatio(packs);
    chunks.frames += count * ratio(packs.frameBytes, packs.objects);
  }
  const compressed = own * blockRatio(texts) + chunks.stored;

  const siteScale = sampled ? ratio(tally.siteBytes, tally.siteBytesRead) : 1;
  const mailboxScale = sampled ? ratio(indexed.messages, tally.recordedFiles.total(without)) : 1;
  // Pages hold entries of several mailboxes: what they come to is shared out among the groups.
  const mailboxRaw =
    (records.rawBytes - tally.siteRecordBytes) *
    ratio(tally.recordBytes.total(without), tally.recordBytes.total());
  const recordRaw = mailboxRaw * mailboxScale + tally.siteRecordBytes * siteScale;
  const recordObjects = records.objects * ratio(recordRaw, records.rawBytes);
  const recordBytes = recordRaw * blockRatio(records);
  const frames =
    differentMessages.count * ratio(texts.frameBytes, texts.objects) +
    chunks.frames +
    recordObjects * ratio(records.frameBytes, records.objects);
  const stored = compressed + recordBytes + frames;
  const bookkeeping = frames + segmentBytes(differentMessages.count + chunks.count + recordObjects, stored);
  return {
    messages,
    bytes,
    linked,
    differentMessages,
    attachments: sampled ? { count: met.count * ofBodies, bytes: met.bytes * ofBodies } : met,
    differentAttachments: different(tally.attachments),
    left: [
      bytes,
      bytes - linked.bytes,
      differentMessages.bytes,
      ownEncoded + different(tally.encodedBodies).bytes,
      own + different(tally.decodedBodies).bytes,
      own + chunks.bytes,
      compressed,
    ],
    records: recordBytes,
    bookkeeping,
    total: compressed + recordBytes + bookkeeping,
  };
}

/** The estimate, and how far it varies with the sample. */
export function estimateWithIntervals(
  tally: Tally,
  records: PackTotals,
): { readonly whole: Estimate; readonly steps: Step[]; readonly total: Interval | null } {
  const whole = estimate(tally, records);
  const interval = tally.share < 1 ? intervalsOf(whole, tally, records) : () => null;
  const steps = STEPS.map((step, position): Step => {
    const bytes = whole.left[position] as number;
    const before = position === 0 ? bytes : (whole.left[position - 1] as number);
    return { step, bytes, saved: before - bytes, interval: interval(({ left }) => left[position] as number) };
  });
  return { whole, steps, total: interval(({ total }) => total) };
}

/** By the groups of the sample; not below what the sample itself comes to. */
function intervalsOf(
  whole: Estimate,
  tally: Tally,
  records: PackTotals,
): (value: (of: Estimate) => number) => Interval {
  const partial = Array.from({ length: GROUPS }, (_, group) => estimate(tally, records, group));
  const least = leastOf(whole, tally);
  return (value) => {
    const { low, high } = jackknife(value(whole), partial.map(value));
    return { low: Math.max(low, value(least)), high };
  };
}

/** What was read is there, whatever the rest is like. */
function leastOf(whole: Estimate, tally: Tally): Estimate {
  const stored = tally.ownStored.total();
  const { encodedBodies, decodedBodies, chunks, texts, parts } = tally;
  const packs = [texts, ...new Set(Object.values(parts))];
  const compressed = packs.reduce((sum, { totals }) => sum + totals.blockBytes, 0);
  const left = [
    whole.bytes,
    whole.differentMessages.bytes,
    whole.differentMessages.bytes,
    tally.ownEncoded.total() + encodedBodies.differentMet.bytes,
    stored + decodedBodies.differentMet.bytes,
    stored + chunks.differentMet.bytes,
    compressed,
  ];
  return { ...whole, left, total: compressed };
}

/** A look-up table over all packs, as a backup writes it at its end. */
function segmentBytes(objects: number, storedBytes: number): number {
  const packs = Math.ceil(storedBytes / PACK_BYTES_TARGET) + 2;
  const perPack = Math.max(1, Math.ceil(objects / packs));
  const shape = new SegmentShape(widthOf(packs - 1), widthOf(perPack - 1), Math.ceil(objects));
  return shape.entries * shape.entryBytes + filterBytes(shape.entries);
}

function blockRatio({ blockBytes, rawBytes }: PackTotals): number {
  return rawBytes === 0 ? 1 : blockBytes / rawBytes;
}

/** 0 where there is nothing to go by. */
function ratio(a: number, b: number): number {
  return b === 0 ? 0 : a / b;
}
