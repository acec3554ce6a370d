/**
 * A backup of a server that runs: everything once, mailbox by mailbox; then again what has changed meanwhile, until
 * little is left; then what is left at one moment, with its users' writers kept away. Each round takes over from the
 * one before what has not changed, as a daily run does from its parent.
 */
import type { ByteString } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { userOf } from "../cyrus/mailbox-name.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { MailboxToHold } from "../source/held.ts";
import { keepStill, takeClosingCut } from "../source/live/closing-cut.ts";
import { type ClosingCut, indexPathsOf, type LiveHolder } from "../source/live/live-holder.ts";
import type { LockTimes } from "../source/live/lock-times.ts";
import type { LockedReader } from "../source/live/locked-reader.ts";
import { lstatSource } from "../source/read-file.ts";
import { uniqueidOfPlace } from "./mailbox-history.ts";
import type { MailboxPlace } from "./mailbox-places.ts";
import type { MailboxTasks, PlacedTask } from "./mailbox-tasks.ts";
import type { MadeBackup } from "./run-context.ts";
import type { StartedBackup } from "./start-backup.ts";

export interface LiveSource {
  readonly reader: LockedReader;
  readonly holder: LiveHolder;
  /** `deletedprefix`. */
  readonly deletedPrefix: ByteString;
  /** Of the one moment: where mailboxes.db really lies. */
  readonly listPath: ByteString | undefined;
  /** A key that may only write could not read what the round before has stored. */
  readonly mayRead: boolean;
  /** Of a directory that no list names: it is younger than the list. */
  readonly isYetToCome: (place: MailboxPlace) => boolean;
  readonly onRound: (round: LiveRound) => void;
  /** What the manifest says of it. */
  readonly onAchieved: (consistency: string) => void;
}

/** @returns true: what was found does not go together, and is to be looked for once more. */
export type LookAgain = (tasks: MailboxTasks) => Promise<boolean>;

type MakeOne = (given: StartedBackup, mustLookAgain?: LookAgain) => Promise<MadeBackup>;

export interface LiveRound {
  /** From 1. */
  readonly round: number;
  /** Mailboxes that have changed since they were read. */
  readonly changed: number;
  readonly next: "done" | "again" | "closing";
}

/** What is left is taken at one moment when it is no more than this; else there is another round first. */
const CLOSING_MAILBOXES_MAX = 300;
const CLOSING_BYTES_MAX = 64 * 1024 * 1024;
/** After so many rounds it is taken at one moment as far as it goes. */
const ROUNDS_MAX = 4;
const CUTS_MAX = 3;
const LOOKS_MAX = 8;
/** Before the users whose mailboxes change are kept still for a look. */
const LOOKS_FREE = 2;
const STILL_MS_MAX = 600;

/** @throws {CyrvaultError} `KEY_WRITE_ONLY`; as the rounds do. */
export async function makeInRounds(
  live: LiveSource,
  started: StartedBackup,
  makeOne: MakeOne,
): Promise<MadeBackup> {
  const { holder } = live;
  if (!live.mayRead) {
    throw new CyrvaultError(
      "KEY_WRITE_ONLY",
      "--mode live reads again what it has just stored, and this key may only write",
      {
        hint: "use a key that may read, or a snapshot",
      },
    );
  }
  const tally = new Tally();
  const finish = (made: MadeBackup, achieved: string): MadeBackup => {
    const view = viewOf(achieved, live.reader.times);
    live.onAchieved(view.consistency);
    return tally.finish(made, started, view);
  };
  let given = started;
  for (let round = 1; ; round++) {
    const made = await makeOne(given);
    tally.add(made);
    const changed = changedTasks(live, made.tasks);
    if (changed.length === 0 && !holder.listHasChanged) {
      live.onRound({ round, changed: 0, next: "done" });
      return finish(made, "nothing changed after it was read");
    }
    const isLast = round >= ROUNDS_MAX || isLittle(changed);
    live.onRound({ round, changed: changed.length, next: isLast ? "closing" : "again" });
    // The next round reads what this one has stored.
    await started.run.writer.flush();
    given = { ...started, parents: { ...started.parents, backup: made.root, checkpoints: [] } };
    holder.beginRound();
    if (!isLast) continue;
    const { last, achieved } = await closingRound(live, given, makeOne);
    tally.add(last);
    return finish(last, achieved);
  }
}

async function closingRound(
  live: LiveSource,
  given: StartedBackup,
  makeOne: MakeOne,
): Promise<{ readonly last: MadeBackup; readonly achieved: string }> {
  const { holder } = live;
  let looks = 0;
  let achieved = "";
  let goOn: (() => void) | undefined;
  const last = await makeOne(given, async (tasks) => {
    const cut = await closingCut(live, tasks);
    goOn?.();
    // What lies where was looked up by the list of a moment before: it must still be the same.
    const listIsOlder = holder.listHasChanged;
    if (listIsOlder && ++looks < LOOKS_MAX) {
      discard(cut);
      holder.beginRound();
      // Somebody renames all the time. On a small server it is soon looked up.
      if (looks >= LOOKS_FREE)
        goOn = await keepStill(live.reader, usersOf(live, changedTasks(live, tasks)), STILL_MS_MAX);
      return true;
    }
    achieved =
      cut === undefined
        ? "each mailbox of a moment of its own"
        : `each user of one moment; ${cut.mailboxes.size} mailboxes that went on changing were read at once, at the end`;
    if (listIsOlder) achieved += "; the mailbox list is of a moment before";
    if (cut !== undefined) holder.beginRound(cut);
    return false;
  });
  return { last, achieved };
}

function viewOf(achieved: string, { longestMs, givenUp }: LockTimes): ManifestRoot["view"] {
  const without = givenUp === 0 ? "" : `; ${givenUp} files could not be locked in time`;
  return {
    kind: "live",
    consistency: `live: read under Cyrus's locks; ${achieved}; no lock was held longer than ${Math.ceil(longestMs)} ms${without}`,
  };
}

function changedTasks({ holder }: LiveSource, tasks: MailboxTasks): PlacedTask[] {
  return [...tasks].filter((task) => holder.hasChanged(directoriesOf(task)));
}

function isLittle(changed: readonly PlacedTask[]): boolean {
  if (changed.length > CLOSING_MAILBOXES_MAX) return false;
  let bytes = 0;
  for (const task of changed)
    for (const path of indexPathsOf(directoriesOf(task))) bytes += lstatSource(path)?.stat.size ?? 0;
  return bytes <= CLOSING_BYTES_MAX;
}

/** Of the users whose mailboxes have changed; again, with more of them, while others' change meanwhile. */
async function closingCut(live: LiveSource, tasks: MailboxTasks): Promise<ClosingCut | undefined> {
  const { holder, reader, deletedPrefix, listPath } = live;
  const userOfTask = ({ name }: PlacedTask) => userOf(name, deletedPrefix);
  const users = new Set(usersOf(live, changedTasks(live, tasks)));
  for (let attempt = 1; ; attempt++) {
    const mailboxes: MailboxToHold[] = [];
    for (const task of tasks) if (users.has(userOfTask(task))) mailboxes.push(holdable(task));
    const cut = await takeClosingCut(reader, holder, {
      users: [...users],
      mailboxes,
      files: listPath === undefined ? [] : [listPath],
    });
    if (cut === undefined || attempt === CUTS_MAX) return cut;
    const others = usersOf(live, changedTasks(live, tasks)).filter((user) => !users.has(user));
    if (others.length === 0) return cut;
    for (const user of others) users.add(user);
    discard(cut);
  }
}

/** undefined among them: all that is no user's. */
function usersOf({ deletedPrefix }: LiveSource, tasks: readonly PlacedTask[]): (ByteString | undefined)[] {
  return [...new Set(tasks.map(({ name }) => userOf(name, deletedPrefix)))];
}

function discard(cut: ClosingCut | undefined): void {
  for (const snapshot of cut?.mailboxes.values() ?? []) snapshot.release(false);
  for (const copy of cut?.files.values() ?? []) copy.discard();
}

function directoriesOf({ place }: PlacedTask): ByteString[] {
  return place.directories.map(({ realPath }) => realPath);
}

function holdable({ name, place }: PlacedTask): MailboxToHold {
  return {
    name,
    uuid: uniqueidOfPlace(place),
    directories: place.directories.map(({ realPath, role }) => ({
      path: realPath,
      holdsMessages: role !== "meta",
      names: [],
    })),
  };
}

/** Counts of all rounds together, against the parent: each round's own are against the round before. */
class Tally {
  #first: MadeBackup | undefined;
  readonly #touched = new Set<ByteString>();
  readonly #sums = { messagesNew: 0, messagesRead: 0, read: 0 };

  add(made: MadeBackup): void {
    const { counts, bytes } = made.root;
    this.#sums.messagesNew += counts.messagesNew;
    this.#sums.messagesRead += counts.messagesRead;
    this.#sums.read += bytes.read;
    if (this.#first === undefined) this.#first = made;
    else
      for (let at = 0; at < made.tasks.length; at++) {
        const task = made.takenOver[at] === 1 ? undefined : made.tasks.at(at);
        if (task !== undefined) this.#touched.add(task.name);
      }
  }

  finish(made: MadeBackup, { parents }: StartedBackup, view: ManifestRoot["view"]): MadeBackup {
    const { root } = made;
    const counts = { changed: 0, unchanged: 0, new: 0 };
    let stayed = 0;
    for (const name of made.tasks.names()) {
      const position = this.#first?.tasks.positionOf(name);
      const state = position === undefined ? 2 : this.#first?.takenOver[position];
      if (position !== undefined) stayed++;
      if (state === 2) counts.new++;
      else if (state === 1 && !this.#touched.has(name)) counts.unchanged++;
      else counts.changed++;
    }
    const { messagesNew, messagesRead, read } = this.#sums;
    const gone = (this.#first?.root.counts.gone ?? 0) + (this.#first?.tasks.length ?? 0) - stayed;
    return {
      ...made,
      // What was renamed during the rounds is new, and gone.
      renamed: this.#first?.renamed ?? 0,
      root: {
        ...root,
        parent: parents.backup?.backup,
        view,
        counts: { ...root.counts, ...counts, gone, messagesNew, messagesRead },
        bytes: { ...root.bytes, read },
      },
    };
  }
}
