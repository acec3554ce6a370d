/** Who writes to whom: invented persons at domains that are reserved for examples (RFC 2606). */
import { Random } from "./random.ts";

const GIVEN =
  "Alva Benno Cleo Dario Edda Falk Greta Henrik Ilka Jaro Kaija Levin Mira Nilo Oda Pelle Quirin Runa Silvan Tilda " +
  "Ulla Veit Wanda Xaver Ylva Zeno";
const FAMILY =
  "Adern Birkow Calvert Drossel Ebbing Farnholt Gantz Hollunder Imsen Jorvik Kestrin Lindqvar Morven Nerling " +
  "Ostwald Pellmar Quendt Rovinsk Sandtner Tavish Ulmenau Vintor Wexham Yarrow Zellner";
const GIVEN_NAMES = GIVEN.split(" ");
const FAMILY_NAMES = FAMILY.split(" ");

const OUTSIDE_DOMAINS = [
  "example.com",
  "example.net",
  "post.example.com",
  "office.example.net",
  "uni.example.com",
];
export const SERVER_DOMAIN = "example.org";

export interface Person {
  readonly name: string;
  /** What stands before the `@`; for a user of the server it is the user id. */
  readonly local: string;
  readonly domain: string;
}

/** Every second one has a full stop in the user id. */
export function userPerson(index: number): Person {
  return person(index, SERVER_DOMAIN, index % 2 === 0 ? "." : "");
}

export function outsidePerson(index: number): Person {
  return person(index * 7 + 3, new Random(index).pick(OUTSIDE_DOMAINS), "_");
}

export function addressOf({ local, domain }: Person): string {
  return `${local}@${domain}`;
}

/** Different indexes, different user ids. */
function person(index: number, domain: string, separator: string): Person {
  const given = GIVEN_NAMES[index % GIVEN_NAMES.length] as string;
  const rest = Math.floor(index / GIVEN_NAMES.length);
  const family = FAMILY_NAMES[(rest + index * 11) % FAMILY_NAMES.length] as string;
  const number = Math.floor(rest / FAMILY_NAMES.length);
  const suffix = number === 0 ? "" : String(number + 1);
  return {
    name: `${given} ${family}`,
    local: `${given}${separator}${family}${suffix}`.toLowerCase(),
    domain,
  };
}
