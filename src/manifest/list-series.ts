/**
 * Backups of a mailbox list alone stand under a name of their own beside the server's: whatever goes by server (parents,
 * `latest`, retention, `status`, locks) keeps the two apart, in every version that reads them.
 */
const ENDING = " (mailbox list)";

export function listSeriesOf(server: string): string {
  return isListSeries(server) ? server : `${server}${ENDING}`;
}

export function isListSeries(server: string): boolean {
  return server.endsWith(ENDING);
}

/** Whose list it is; a name that is none of these as it is. */
export function serverOfListSeries(series: string): string {
  return isListSeries(series) ? series.slice(0, -ENDING.length) : series;
}
