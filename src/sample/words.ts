/** Text that no person wrote: invented words in the frequencies of a natural language (Zipf's law). */
import { Random } from "./random.ts";

/** The frequent words of English: function words, as any word list gives them. */
const FREQUENT =
  "the of and to a in is it you that for on was with as are be this have from or at by we not but what all were " +
  "when your can said there use an each which she do how their if will up other about out many then them these so " +
  "some her would make like him into time has look two more write go see number no way could people my than first " +
  "water been call who its now find long down day did get come made may part";

const ONSETS = [
  "b",
  "br",
  "c",
  "d",
  "dr",
  "f",
  "g",
  "gr",
  "h",
  "k",
  "l",
  "m",
  "n",
  "p",
  "pl",
  "r",
  "s",
  "st",
  "t",
  "tr",
  "v",
];
const NUCLEI = ["a", "e", "i", "o", "u", "ea", "ai", "ou"];
const CODAS = ["", "", "n", "r", "l", "s", "t", "nd", "rm", "st"];
const VOCABULARY_WORDS = 5000;
const PICKS = 1 << 16;
const LINE_CHARACTERS = 72;

const WORDS = makeVocabulary();
/** 16 random bits to a word: rank k comes about 1/k as often as rank 1. */
const PICK_TABLE = Uint16Array.from({ length: PICKS }, (_, i) =>
  Math.min(WORDS.length - 1, Math.floor(WORDS.length ** ((i + 0.5) / PICKS)) - 1),
);

/** Words of one paragraph, with their punctuation. */
export type Paragraph = readonly string[];

/** Paragraphs of about so many characters together. */
export function makeParagraphs(random: Random, characters: number): Paragraph[] {
  const paragraphs: Paragraph[] = [];
  let left = characters;
  while (left > 0) {
    const words: string[] = [];
    let sentenceLeft = 0;
    for (let paragraphLeft = Math.min(left, 150 + random.below(500)); paragraphLeft > 0; ) {
      const bits = random.u32();
      let word = WORDS[PICK_TABLE[bits & 0xffff] as number] as string;
      if (sentenceLeft === 0) {
        sentenceLeft = 4 + ((bits >>> 16) & 15);
        word = word.charAt(0).toUpperCase() + word.slice(1);
      }
      sentenceLeft--;
      if (sentenceLeft === 0) word += bits >>> 29 === 0 ? "?" : ".";
      else if (bits >>> 28 === 15) word += ",";
      words.push(word);
      paragraphLeft -= word.length + 1;
      left -= word.length + 1;
    }
    if (sentenceLeft > 0) words.push("indeed.");
    paragraphs.push(words);
  }
  return paragraphs;
}

/** Wrapped lines, each ending in CRLF, an empty one after each paragraph. */
export function wrap(paragraphs: readonly Paragraph[], prefix = ""): string {
  let text = "";
  for (const words of paragraphs) {
    let line = prefix;
    for (const word of words) {
      if (line.length + word.length > LINE_CHARACTERS) {
        text += `${line}\r\n`;
        line = prefix;
      }
      line += line.length === prefix.length ? word : ` ${word}`;
    }
    text += `${line}\r\n${prefix}\r\n`;
  }
  return text;
}

/** A few words, the first one with a capital: a subject, a title. */
export function makePhrase(random: Random, words: number): string {
  const phrase = Array.from({ length: words }, () => pickWord(random)).join(" ");
  return phrase.charAt(0).toUpperCase() + phrase.slice(1);
}

export function pickWord(random: Random): string {
  return WORDS[PICK_TABLE[random.u32() & 0xffff] as number] as string;
}

function makeVocabulary(): string[] {
  const words = new Set(FREQUENT.split(" "));
  const random = new Random(1);
  while (words.size < VOCABULARY_WORDS) {
    let word = "";
    for (let syllable = random.below(3); syllable >= 0; syllable--)
      word += random.pick(ONSETS) + random.pick(NUCLEI) + (syllable === 0 ? random.pick(CODAS) : "");
    words.add(word);
  }
  return [...words];
}
