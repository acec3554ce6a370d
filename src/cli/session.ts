/** What every command has at hand: where to print, how to show progress, how to open the repository. */
import type { Clock } from "../base/clock.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { createLogger, type Logger } from "../base/log.ts";
import { Progress } from "../base/progress.ts";
import type { Keyring } from "../keys/keyring.ts";
import type { Repository } from "../store/repository.ts";
import { writeOnly } from "../store/seal-header.ts";
import type { Secret } from "../store/secret.ts";
import type { OwnPacks } from "../store/vouching.ts";
import { type Access, openStored, openStoredKeys, type WrapBackend } from "./compose.ts";
import { cacheDirectory, LastSeen } from "./last-seen.ts";
import type { Output } from "./output.ts";
import { OwnPacksFile } from "./own-packs.ts";
import { askPassword, givenSecret, isSecretNamed, type SecretSource } from "./password.ts";
import { ProgressDisplay, type ProgressStyle } from "./progress-display.ts";
import type { Terminal } from "./terminal.ts";

export interface CommonOptions {
  readonly repo?: string;
  readonly passwordFile?: string;
  readonly keyFile?: string;
  readonly cacheDir?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

export interface SessionParts {
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The only one of the process: it knows what stands on the terminal's last line. */
  readonly output: Output;
}

export class Session {
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly output: Output;
  readonly log: Logger;
  readonly progress = new Progress();
  readonly json: boolean;
  readonly quiet: boolean;
  readonly #common: CommonOptions;
  readonly #cache: string | undefined;

  constructor(given: SessionParts, common: CommonOptions) {
    const { terminal, clock, signal, output } = given;
    this.terminal = terminal;
    this.clock = clock;
    this.signal = signal;
    this.#common = common;
    this.#cache = common.cacheDir ?? cacheDirectory(terminal.env);
    this.json = common.json === true;
    this.quiet = common.quiet === true;
    const verbose = common.verbose === true;
    this.output = output;
    const least = this.quiet ? "warning" : verbose ? "debug" : "info";
    this.log = createLogger((record) => this.output.log(record), least);
  }

  /** undefined: nothing is remembered. */
  get cacheDirectory(): string | undefined {
    return this.#cache;
  }

  /** For commands that need no repository. */
  get namedLocation(): string | undefined {
    const location = this.#common.repo ?? this.terminal.env["CYRVAULT_REPO"];
    return location === "" ? undefined : location;
  }

  /** @throws {CyrvaultError} `USAGE`. */
  get location(): string {
    const location = this.namedLocation;
    if (location !== undefined) return location;
    throw new CyrvaultError("USAGE", "no repository is named", {
      hint: "use --repo PLACE or $CYRVAULT_REPO",
    });
  }

  get secretSource(): SecretSource {
    const { passwordFile, keyFile } = this.#common;
    return { passwordFile, keyFile };
  }

  /** In an option or the environment. */
  get isSecretGiven(): boolean {
    return isSecretNamed(this.secretSource, this.terminal.env);
  }

  /** Without asking anybody. */
  get secret(): Secret | undefined {
    return givenSecret(this.secretSource, this.terminal.env);
  }

  /**
   * `read` writes nothing at all: it works on read-only media and beside everybody. Whoever writes refuses a repository that
   * this machine has seen newer; whoever reads, or takes it at `whateverAge`, is warned. A key that may only write is refused
   * but where it is enough.
   */
  async withRepository<T>(
    access: Access,
    use: (repository: Repository) => Promise<T>,
    options: {
      readonly whateverAge?: boolean;
      readonly mayBeWriteOnly?: boolean;
      readonly wrapBackend?: WrapBackend | undefined;
    } = {},
  ): Promise<T> {
    const { repository, close } = await openStored(this.location, {
      access,
      secret: this.secret,
      ask: () => askPassword(this.terminal),
      clock: this.clock,
      log: this.log,
      ownPacks: (id) => this.#ownPacks(id),
      wrapBackend: options.wrapBackend,
    });
    try {
      if (!repository.mayRead && options.mayBeWriteOnly !== true)
        throw writeOnly("this needs a key that may read");
      const { description } = repository.backend.properties;
      const seen = this.#cache === undefined ? undefined : new LastSeen(this.#cache, description);
      const older = await seen?.compare(repository);
      if (older !== undefined) {
        if (access === "write" && !options.whateverAge) throw older;
        this.log.warning(older.message, { code: older.code, hint: older.hint });
      }
      const result = await use(repository);
      if (older === undefined) await this.#remember(repository, seen);
      return result;
    } finally {
      await close();
    }
  }

  #ownPacks(repository: string): OwnPacks {
    if (this.#cache !== undefined)
      return new OwnPacksFile(this.#cache, repository, ({ message }) =>
        this.log.warning("what is stored is not remembered: it will be stored again", { reason: message }),
      );
    this.log.warning("nothing is remembered of what is stored: each backup stores everything again", {
      hint: "set $CYRVAULT_CACHE_DIR",
    });
    return { has: () => false, add: () => undefined };
  }

  /** After a repository was made where another one may have been. @param place - the description of its backend. */
  async forgetPlace(place: string): Promise<void> {
    if (this.#cache !== undefined) await new LastSeen(this.#cache, place).forget();
  }

  /** That it cannot be remembered keeps nobody from working. */
  async #remember(repository: Repository, seen: LastSeen | undefined): Promise<void> {
    try {
      await seen?.remember(repository);
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      this.log.debug("what was seen of the repository is not remembered", { reason: error.message });
    }
  }

  async withKeys<T>(access: Access, use: (keyring: Keyring) => Promise<T>): Promise<T> {
    const { secret, terminal } = this;
    const { keyring, close } = await openStoredKeys(this.location, {
      access,
      secret,
      ask: () => askPassword(terminal),
    });
    try {
      return await use(keyring);
    } finally {
      await close();
    }
  }

  /** Shows `progress` while `work` is under way. */
  async withProgress<T>(work: () => Promise<T>): Promise<T> {
    const { progress, output, terminal, clock } = this;
    const display = new ProgressDisplay({ progress, output, terminal, clock, style: this.#progressStyle() });
    display.start();
    try {
      return await work();
    } finally {
      display.stop();
    }
  }

  /** For backups that cannot be read, when all are looked through. */
  readonly onUnreadable = (backup: string, error: CyrvaultError): void => {
    this.log.warning(`backup ${backup} cannot be read and is left out: ${error.message}`);
  };

  #progressStyle(): ProgressStyle {
    if (this.quiet) return "none";
    if (this.json) return "json";
    return this.terminal.errIsTerminal ? "line" : "plain";
  }
}
