/**
 * Content that one author or one company puts into many letters: numbers of documents below 0, of which everybody has
 * the same. Numbers from 1 are documents of their own letters and of those that pass them on.
 */
import type { Random } from "./random.ts";

const CORPORATE_DOCUMENTS = 40;
const COMPANIES = 60;
const LOGOS = 1000;
const PUBLISHER_LOGOS = 2000;
const ISSUE_PICTURES = 10_000;
const PUBLISHERS_AT_MOST = 64;
const PICTURES_OF_AN_ISSUE = 2;

/** Price lists, forms, minutes: what a whole company sends round. */
export function corporateDocument(random: Random): number {
  return -1 - random.below(CORPORATE_DOCUMENTS);
}

/** In the author's signature. All users of the server are one company. */
export function logoOf(author: number, isUser: boolean): number {
  return -LOGOS - (isUser ? 0 : 1 + (author % COMPANIES));
}

/** A newsletter's: one that comes every time, and those of the issue. */
export function issuePictures(publisher: number, issue: number): number[] {
  const first = (issue * PUBLISHERS_AT_MOST + publisher) * PICTURES_OF_AN_ISSUE;
  const own = Array.from({ length: PICTURES_OF_AN_ISSUE }, (_, i) => -ISSUE_PICTURES - first - i);
  return [-PUBLISHER_LOGOS - publisher, ...own];
}

export function isPicture(document: number): boolean {
  return document <= -LOGOS;
}

/** Small and drawn once, unlike the photographs of an issue. */
export function isLogo(document: number): boolean {
  return document <= -LOGOS && document > -ISSUE_PICTURES;
}
