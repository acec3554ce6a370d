/**
 * What the sample server imitates, with the source of each figure. "Corporate study": the sizes of bodies and
 * attachments of 18.6 million corporate mails, published by Gray Watson (256stuff.com, email_size_analysis).
 */

/**
 * Base64 parts, of all bytes. 1,425 GB in 18.57 million mails are 77 KB a mail; texts and headers as below leave nine tenths
 * of that to attachments. Parts of 16 KB or more alone hold 78 %, each counted with the middle of its size class (corporate
 * study). Elsewhere: 85 % of the storage (Mail.Ru: A. Sumin, "How Mail.Ru reduced email storage from 50 to 32 PB", Smashing
 * Magazine 2017), 94 % (AttachStor, a maker of such software, in "AttachStor reclaims e-mail storage", Storage magazine).
 */
export const ATTACHMENT_SHARE = 0.9;

/**
 * Of the decoded bytes of all parts, each message file counted once whatever its names: how much is in parts that have
 * occurred before. 700.8 of 1,425 GB are unique (corporate study). Elsewhere: 36 % would be saved by keeping each attached
 * file once (Mail.Ru, as above), 60 to 65 % of the attachments are duplicates or revisions (AttachStor, as above), 30 to 45 %
 * of what mail sends over a network is redundant ("Deduping the Internet: an email case study").
 */
export const REPETITION = 0.5;

/**
 * How that comes about; the rest are the same documents and pictures in other letters: forwards, circulating documents,
 * logos, newsletters. Nobody has published such a split. Why copies with headers of their own are the larger part: 70 % of a
 * company's mail is internal (an archiving company's statistics of 2007, randomdesiderata.blogspot.com), and leaves the
 * author's copy in Sent, which has no Received lines, and one for each recipient, which has its own.
 */
export const COPY_SHARE = 0.6;
/** Assumption: files that equal another one, byte for byte: delivered to another partition, or uploaded by a client. */
export const WHOLE_FILE_SHARE = 0.1;
/**
 * Assumption: how many of all further copies of a letter are no files of their own but names of one. Cyrus links what
 * comes in one LMTP delivery to users of one partition, and what IMAP copies.
 */
export const LINKED_SHARE = 0.25;

/** Assumption: of documents that occur again, those that the whole company sends round. */
export const CORPORATE_SHARE = 0.25;
/** Assumptions: authors whose HTML letters show a logo, newsletters that bring their pictures along, sizes from and to. */
export const LOGO_SHARE = 0.3;
export const PICTURES_SHARE = 0.5;
export const LOGO_BYTES = [2 << 10, 12 << 10] as const;
export const PICTURE_BYTES = [8 << 10, 60 << 10] as const;

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
