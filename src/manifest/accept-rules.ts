/** Which findings somebody has accepted: they are counted, not repeated. */
import { toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { FINDING_CODES, type Finding } from "./finding.ts";

/**
 * `CODE` accepts every finding of that code; `CODE:PATH` those of a path, of what lies below it, or of a mailbox
 * of that name. PATH is UTF-8 text as findings are shown, with `\xNN` for bytes that are none.
 */
export interface AcceptRule {
  readonly code: string;
  readonly subject: string | undefined;
}

/** @throws {CyrvaultError} `USAGE`. */
export function parseAcceptRule(text: string): AcceptRule {
  const colon = text.indexOf(":");
  const code = colon < 0 ? text : text.slice(0, colon);
  const subject = colon < 0 ? undefined : text.slice(colon + 1);
  if (!/^[a-z][a-z0-9-]*$/.test(code) || subject === "") {
    throw new CyrvaultError("USAGE", `not a rule for accepting findings: ${text}`, {
      hint: "write CODE or CODE:PATH, for example guid-absent or file-unreadable:/var/lib/cyrus/md5",
    });
  }
  if (!FINDING_CODES.some((known) => known === code)) {
    throw new CyrvaultError("USAGE", `there is no finding with the code ${code}`, {
      hint: "`cyrvault findings` shows the codes; docs/findings.md explains them all",
    });
  }
  return { code, subject };
}

export function formatAcceptRule(rule: AcceptRule): string {
  return rule.subject === undefined ? rule.code : `${rule.code}:${rule.subject}`;
}

type Subject = Pick<Finding, "code" | "path" | "mailbox">;

/** Built once for many findings: the cost of a question doesn't grow with the number of rules. */
export class AcceptRules {
  readonly #codes = new Set<string>();
  readonly #subjects = new Set<string>();

  /** @param rules - as in the manifest root. Malformed ones accept nothing. */
  constructor(rules: Iterable<string>) {
    for (const rule of rules) (rule.includes(":") ? this.#subjects : this.#codes).add(rule);
  }

  accepts(finding: Subject): boolean {
    if (this.#codes.has(finding.code)) return true;
    if (this.#subjects.size === 0) return false;
    if (finding.mailbox !== undefined && this.#names(finding, toText(finding.mailbox))) return true;
    const path = toText(finding.path);
    if (this.#names(finding, path) || this.#names(finding, "/")) return true;
    for (let slash = path.indexOf("/", 1); slash >= 0; slash = path.indexOf("/", slash + 1)) {
      const above = path.slice(0, slash);
      if (this.#names(finding, above) || this.#names(finding, `${above}/`)) return true;
    }
    return false;
  }

  #names(finding: Subject, subject: string): boolean {
    return this.#subjects.has(`${finding.code}:${subject}`);
  }
}
