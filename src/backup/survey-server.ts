/** The survey of all roots, begun again whenever a symlink adds a root that nobody had named. */
import { filePages } from "../manifest/file-page.ts";
import type { FileEntry, ManifestRoot } from "../manifest/model.ts";
import { EMPTY_TREE } from "../manifest/page-tree.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { readPages } from "../manifest/read-page-tree.ts";
import type { ServerRoot } from "../source/roots.ts";
import type { SourceView } from "../source/view.ts";
import type { Decisions } from "./decisions.ts";
import { BufferedFindings } from "./finding-sink.ts";
import { MailboxPlaces } from "./mailbox-places.ts";
import { PageCursor } from "./page-cursor.ts";
import { RootsDiscovered, Survey, type SurveyItem } from "./survey.ts";

export interface SurveyResult<T> {
  readonly result: T;
  readonly roots: readonly ServerRoot[];
  readonly places: MailboxPlaces;
  readonly findings: BufferedFindings;
  readonly directories: { readonly total: number; readonly listed: number };
}

/** @param consume - is called again from the beginning when a root was added. `parentFiles` is read along by the walk. */
export async function surveyServer<T>(
  input: {
    readonly view: SourceView;
    readonly roots: readonly ServerRoot[];
    readonly before: Pick<ManifestRoot, "files" | "roots"> | undefined;
    readonly source: PageSource;
    readonly decisions: Decisions;
  },
  consume: (items: AsyncIterable<SurveyItem>, parentFiles: PageCursor<FileEntry>) => Promise<T>,
): Promise<SurveyResult<T>> {
  let { roots } = input;
  for (;;) {
    const findings = new BufferedFindings();
    const places = new MailboxPlaces();
    const { files, roots: parentRoots } = input.before ?? { files: EMPTY_TREE, roots: [] };
    const parentFiles = new PageCursor(readPages(files, input.source, filePages), filePages.key);
    const decide = input.decisions.decide.bind(input.decisions);
    const survey = new Survey({
      view: input.view,
      roots,
      parentFiles,
      parentRoots,
      places,
      findings,
      decide,
    });
    try {
      const result = await consume(survey.items(), parentFiles);
      const { directories: total, directoriesListed: listed } = survey.counts;
      return { result, roots, places, findings, directories: { total, listed } };
    } catch (error) {
      if (!(error instanceof RootsDiscovered)) throw error;
      roots = [...roots, ...error.roots];
    } finally {
      await parentFiles.close();
    }
  }
}
