/**
 * What the sample server imitates, with the source of each figure. "Corporate study": the sizes of bodies and
 * attachments of 18.6 million corporate mails, published by Gray Watson (256stuff.com, email_size_analysis).
 */

/**
 * 1,425 GB in 18.57 million mails. One part in eight has 16 KB or more; counted with the middle of their size class, these
 * hold 78 % of the bytes, long texts among them. Corporate study.
 */
export const ATTACHMENT_SHARE = 0.75;

/** Half of all bytes are in parts that occur a second time: 700.8 of 1,425 GB are unique. Corporate study. */
export const REPETITION = 0.5;

/** Sizes of attachments: how many thousand parts have `bytes` to twice as many, decoded. Corporate study, 16 KB to 8 MB. */
export const DOCUMENT_SIZES: readonly (readonly [bytes: number, count: number])[] = [
  [16 << 10, 1554],
  [32 << 10, 1220],
  [64 << 10, 757],
  [128 << 10, 536],
  [256 << 10, 313],
  [512 << 10, 230],
  [1 << 20, 144],
  [2 << 20, 68],
  [4 << 20, 27],
];

/**
 * How many attachments a compressor makes much smaller (tables, texts, uncompressed pictures). Set so that deflate
 * leaves a good half of all bytes: 794 of 1,425 GB. Corporate study.
 */
export const COMPRESSIBLE_SHARE = 0.45;

/**
 * Plain text of a mail. With headers of about 1 KB it makes a mean of 2.7 KB: the Enron corpus without attachments,
 * 517,431 mails in 1.34 GB.
 */
export const TEXT_BYTES = { median: 800, sigma: 1.2, max: 60_000 } as const;

/**
 * Mails that come as text and HTML. An assumption; of published figures there is only that HTML makes a short mail three
 * to ten times as large (an archiving company's statistics of 2007, randomdesiderata.blogspot.com).
 */
export const HTML_SHARE = 0.55;

/** Assumptions, without a published figure. */
export const KIND_SHARES = { newsletter: 0.15, reply: 0.3, forward: 0.06 } as const;
export const EXPUNGED_SHARE = 0.02;
export const REMOVED_UID_SHARE = 0.1;
export const ARCHIVE_AFTER_DAYS = 30;
