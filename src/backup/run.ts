/**
 * A backup, from the frozen tree to the manifest. Reads like this: where everything lies → which backup went
 * before → what is there (survey) → which mailboxes there are (join) → what of them has changed → read, cut, store
 * → the manifest, whose appearance in the repository makes the backup.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { type ByteString, fromText, pathKey, toText } from "../base/byte-string.ts";
import type { Clock } from "../base/clock.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { parseMailboxHeader } from "../cyrus/mailbox-header.ts";
import type { PathRules } from "../cyrus/mailbox-path.ts";
import { newBackupId } from "../manifest/backup-id.ts";
import { contentSize, storeContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import { findingPages } from "../manifest/finding-page.ts";
import { type FindingCounts, FindingLog } from "../manifest/findings.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import type {
  FileEntry,
  FileStat,
  LeftOut,
  MailboxEntry,
  ManifestRoot,
  PageTree,
} from "../manifest/model.ts";
import { EMPTY_TREE, PageTreeWriter } from "../manifest/page-tree.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";
import { encodeRoot } from "../manifest/root.ts";
import { lstatSource, readSourceFile } from "../source/read-file.ts";
import type { ServerRoot } from "../source/roots.ts";
import { describeServer, type ServerDescription } from "../source/server.ts";
import { SourceView } from "../source/view.ts";
import type { Repository } from "../store/repository.ts";
import type { Run } from "../store/run.ts";
import { FileCapture } from "./capture-file.ts";
import { captureMailbox, type MailboxCaptureContext } from "./capture-mailbox.ts";
import { Cursor } from "./cursor.ts";
import { Decisions } from "./decisions.ts";
import { BufferedFindings, type FindingSink } from "./finding-sink.ts";
import { joinMailboxes, type MailboxTask } from "./mailbox-join.ts";
import { type MailboxPlace, MailboxPlaces } from "./mailbox-places.ts";
import type { BackupOptions, BackupResult } from "./options.ts";
import { OwnerNames } from "./owners.ts";
import { findParents, type Parents } from "./parents.ts";
import { MessagePipeline } from "./pipeline/pipeline.ts";
import { startWorkers } from "./pipeline/worker-pool.ts";
import { type MailboxList, openMailboxList } from "./read-mailbox-list.ts";
import { RootDiscovered, Survey, type SurveyItem } from "./survey.ts";
import { whyChanged } from "./unchanged.ts";
