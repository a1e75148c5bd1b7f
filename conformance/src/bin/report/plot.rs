//! The picture: a panel for each scenario, a bar for each server.
//!
//! The bar is the ratio of processor time to the bare event loop, with a line from the least round to the greatest; the
//! diamond is the ratio of requests per second (in the mix, to what is possible, as that loop is no bound there).

use std::fmt::{self, Write};

use conformance::load::Scenario;

use crate::results::{LIMITS, Outcome, Row};
use crate::serve::Kind;
use crate::table::Spread;

const COLUMNS: usize = 3;
/// The place of the names and of the longest bar, the room for a figure, and the space between panels.
const NAMES: f64 = 130.0;
const BARS: f64 = 165.0;
const FIGURES: f64 = 42.0;
const GAP: f64 = 18.0;
const PANEL: f64 = NAMES + BARS + FIGURES + GAP;
const LINE: f64 = 14.0;
const BAR: f64 = 10.0;
/// Above the panels, and of each panel above its bars.
const HEAD: f64 = 74.0;
const TITLE: f64 = 24.0;

/// One server in one panel.
struct Bar {
    server: &'static str,
    kind: Kind,
    /// The ratios; nothing for one that failed.
    ratios: Option<(Spread, f64)>,
}

struct Panel {
    title: String,
    bars: Vec<Bar>,
}

impl Panel {
    fn height(&self) -> f64 {
        TITLE + LINE * self.bars.len() as f64 + GAP
    }

    /// What the end of the longest bar stands for: the limit, or what is beyond it.
    fn most(&self) -> f64 {
        self.bars.iter().filter_map(|bar| bar.ratios).map(|(cpu, _)| cpu.greatest).fold(1.0, f64::max)
    }
}

/// Draws all scenarios that the bare event loop took part in.
pub(crate) fn svg(outcomes: &[Outcome]) -> String {
    draw(&outcomes.iter().filter_map(panel).collect::<Vec<_>>())
}

fn panel(outcome: &Outcome) -> Option<Panel> {
    let limit = outcome.row(LIMITS[0])?;
    let ceiling = outcome.scenario.ceiling();
    let ratios = |row: &Row| {
        let rate = match ceiling {
            Some(ceiling) => row.spread(|sample| sample.rate / ceiling)?,
            None => row.rate_against(limit)?,
        };
        Some((row.cpu_against(limit)?, rate.median))
    };
    let bar = |row: &Row| Bar { server: row.server.name, kind: row.server.kind, ratios: ratios(row) };
    let bars: Vec<Bar> = outcome.rows.iter().map(bar).collect();
    let Scenario { name, connections, depth, .. } = outcome.scenario;
    let title = match depth {
        1 => format!("{name} ({connections})"),
        _ => format!("{name} ({connections} × {depth})"),
    };
    Some(Panel { title, bars })
}

/// Text in it is names of this program only, so nothing needs escapes.
fn draw(panels: &[Panel]) -> String {
    let mut body = String::new();
    let mut top = HEAD;
    for row in panels.chunks(COLUMNS) {
        for (index, panel) in row.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = draw_panel(&mut body, panel, GAP + PANEL * index as f64, top);
        }
        top += row.iter().map(Panel::height).fold(0.0, f64::max);
    }
    let width = GAP + PANEL * COLUMNS.min(panels.len().max(1)) as f64;
    let width = width.max(620.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{top}\" viewBox=\"0 0 {width} {top}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{GAP}\" y=\"24\" font-size=\"15\" font-weight=\"bold\">Every server against a bare event loop</text>\n\
         <text x=\"{GAP}\" y=\"42\">Bar and figure: processor time per request, {limit} ÷ server; longer is better, the dashed \
         line is the limit. Thin line: least to greatest round.</text>\n\
         <text x=\"{GAP}\" y=\"57\">Diamond: requests/s, server ÷ {limit}; in the mix ÷ what is possible. Blue: Gateway servers. \
         Green: framework-mini on them. Orange: others.</text>\n{body}</svg>\n",
        limit = LIMITS[0],
    )
}

fn draw_panel(out: &mut String, panel: &Panel, left: f64, top: f64) -> fmt::Result {
    let (start, scale) = (left + NAMES, BARS / panel.most());
    writeln!(out, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{}</text>", top + 14.0, panel.title)?;
    for (index, bar) in panel.bars.iter().enumerate() {
        let y = top + TITLE + LINE * index as f64;
        let (base, middle) = (y + BAR - 1.0, y + BAR / 2.0);
        let weight = if matches!(bar.kind, Kind::Gateway | Kind::Framework) { "bold" } else { "normal" };
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{base:.1}\" text-anchor=\"end\" font-weight=\"{weight}\">{}</text>",
            start - 5.0,
            bar.server,
        )?;
        let Some((Spread { median, least, greatest }, rate)) = bar.ratios else {
            writeln!(out, "<text x=\"{start:.1}\" y=\"{base:.1}\" fill=\"#d93025\">failed</text>")?;
            continue;
        };
        let at = |ratio: f64| start + scale * ratio;
        // Beyond the end it stays there: where it is exactly, the tables tell.
        let rate = at(rate).min(start + BARS + 4.0);
        writeln!(
            out,
            "<rect x=\"{start:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"/>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#202124\"/>\
             <path d=\"M {:.1} {middle:.1} l 4 -4 l 4 4 l -4 4 z\" fill=\"white\" stroke=\"#202124\"/>\
             <text x=\"{:.1}\" y=\"{base:.1}\">{median:.2}</text>",
            scale * median,
            colour(bar.kind),
            at(least),
            at(greatest),
            rate - 4.0,
            start + BARS + 12.0,
        )?;
    }
    let (limit, bottom) = (start + scale, top + TITLE + LINE * panel.bars.len() as f64);
    writeln!(
        out,
        "<line x1=\"{limit:.1}\" x2=\"{limit:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\" stroke=\"#d93025\" \
         stroke-dasharray=\"4 3\"/>",
        top + TITLE - 4.0,
    )
}

const fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Limit => "#bdc1c6",
        Kind::Gateway => "#4285f4",
        Kind::Framework => "#34a853",
        Kind::Peer => "#f9ab00",
        Kind::External => "#e8710a",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(server: &'static str, kind: Kind, median: f64) -> Bar {
        let cpu = Spread { median, least: median - 0.1, greatest: median + 0.1 };
        Bar { server, kind, ratios: Some((cpu, median)) }
    }

    #[test]
    fn each_server_has_its_bar_in_each_panel() {
        let one = Panel { title: "one".into(), bars: vec![bar("a", Kind::Limit, 0.9), bar("b", Kind::Peer, 0.45)] };
        let broken = Bar { server: "c", kind: Kind::Peer, ratios: None };
        let two = Panel { title: "two".into(), bars: vec![bar("b", Kind::Peer, 1.9), broken] };
        let svg = draw(&[one, two]);
        assert_eq!(svg.matches("<rect x=").count(), 3);
        // The first panel ends at the limit, the second at what is beyond it.
        assert_eq!(svg.matches(&format!("width=\"{:.1}\"", BARS * 0.45)).count(), 1, "{svg}");
        assert_eq!(svg.matches(&format!("width=\"{:.1}\"", BARS * 1.9 / 2.0)).count(), 1, "{svg}");
        assert_eq!(svg.matches(colour(Kind::Peer)).count(), 2);
        assert!(svg.contains(">0.45<") && svg.contains(">two<"));
        assert_eq!(svg.matches(">failed<").count(), 1);
    }
}
