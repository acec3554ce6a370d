/** Bars as SVG, readable on light and dark pages. Pure. */

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** What stands at its end. */
  readonly text: string;
  readonly highlighted: boolean;
}

/** Its longest bar is as wide as that of every other panel. */
export interface Panel {
  readonly title: string;
  readonly bars: readonly Bar[];
}

const WIDTH = 720;
const MARGIN = 16;
const LABEL_WIDTH = 110;
const TEXT_WIDTH = 110;
const TITLE_HEIGHT = 34;
const PANEL_TITLE_HEIGHT = 28;
const BAR_HEIGHT = 18;
const BAR_STEP = 24;
const PANEL_GAP = 10;

const STYLE = [
  'text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328}',
  ".title{font-size:16px;font-weight:600}",
  ".panel{font-weight:600}",
  ".bar{fill:#afb8c1}",
  ".own{fill:#1a7f37}",
  "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#6e7681}.own{fill:#3fb950}}",
].join("");

export function barChart(title: string, panels: readonly Panel[]): string {
  const body: string[] = [];
  let y = MARGIN + 14;
  body.push(text("title", MARGIN, y, title));
  y += TITLE_HEIGHT - 14;
  for (const panel of panels) {
    y += PANEL_GAP;
    body.push(text("panel", MARGIN, y + 14, panel.title));
    y += PANEL_TITLE_HEIGHT;
    const longest = Math.max(0, ...panel.bars.map(({ value }) => value));
    for (const bar of panel.bars) {
      body.push(...barLines(bar, longest, y));
      y += BAR_STEP;
    }
  }
  const height = y + MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    ...body,
    "</svg>\n",
  ].join("\n");
}

function barLines({ label, value, text: end, highlighted }: Bar, longest: number, y: number): string[] {
  const room = WIDTH - 2 * MARGIN - LABEL_WIDTH - TEXT_WIDTH;
  const width = longest === 0 ? 0 : Math.max(1, Math.round((value / longest) * room));
  const left = MARGIN + LABEL_WIDTH;
  const baseline = y + 14;
  return [
    `<text x="${left - 8}" y="${baseline}" text-anchor="end">${escaped(label)}</text>`,
    `<rect class="${highlighted ? "own" : "bar"}" x="${left}" y="${y}" width="${width}" height="${BAR_HEIGHT}" rx="2"/>`,
    `<text x="${left + width + 6}" y="${baseline}">${escaped(end)}</text>`,
  ];
}

function text(className: string, x: number, y: number, content: string): string {
  return `<text class="${className}" x="${x}" y="${y}">${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
