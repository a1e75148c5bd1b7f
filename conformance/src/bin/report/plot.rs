//! `--svg FILE`: the ratios of processor time as bars.

use std::fmt::Write;

use crate::table::Spread;

const BAR: usize = 12;
const GAP: usize = 14;
const NAMES: usize = 130;
const SCALE: f64 = 480.0;
const COLOURS: [&str; 8] = ["#9aa0a6", "#c4c7cc", "#1a73e8", "#34a853", "#f29900", "#d93025", "#9334e6", "#12b5cb"];

/// One group of bars for each scenario, one bar for each server; the limit is 1.
pub(crate) struct Plot {
    title: String,
    groups: Vec<(String, Vec<(String, Spread)>)>,
}

impl Plot {
    /// An empty plot.
    pub(crate) const fn new(title: String) -> Self {
        Self { title, groups: Vec::new() }
    }

    /// Adds a scenario: names of servers and their ratios.
    pub(crate) fn group(&mut self, name: &str, bars: Vec<(String, Spread)>) {
        if !bars.is_empty() {
            self.groups.push((name.to_owned(), bars));
        }
    }

    /// The picture. Text in it is names of this program only, so nothing needs escapes.
    pub(crate) fn svg(&self) -> String {
        let bars: usize = self.groups.iter().map(|(_, bars)| bars.len()).sum();
        let height = 40 + self.groups.len() * (GAP + 20) + bars * BAR + 10;
        let ratios = self.groups.iter().flat_map(|(_, bars)| bars.iter().map(|(_, spread)| spread.greatest));
        let most = ratios.fold(1.0, f64::max);
        let width = NAMES as f64 + SCALE * most + 70.0;
        let mut colours: Vec<&str> = Vec::new();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"10\" y=\"22\" font-size=\"14\">{}</text>",
            self.title
        );
        let mut y = 40;
        for (group, bars) in &self.groups {
            y += GAP;
            let _ = writeln!(text, "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{group}</text>");
            y += 6;
            for (server, Spread { median, least, greatest }) in bars {
                let index = colours.iter().position(|known| known == server).unwrap_or_else(|| {
                    colours.push(server);
                    colours.len() - 1
                });
                let colour = COLOURS[index % COLOURS.len()];
                let (length, middle, base) = (SCALE * median, y as f64 + BAR as f64 / 2.0 - 1.0, y + BAR - 3);
                let (from, to) = (NAMES as f64 + SCALE * least, NAMES as f64 + SCALE * greatest);
                let _ = writeln!(
                    text,
                    "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{server}</text>\
                     <rect x=\"{NAMES}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                     <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>\
                     <text x=\"{:.1}\" y=\"{base}\">{median:.2}</text>",
                    NAMES - 6,
                    BAR - 2,
                    to.max(NAMES as f64 + length) + 5.0,
                );
                y += BAR;
            }
            y += 14;
        }
        let limit = NAMES as f64 + SCALE;
        let _ = writeln!(
            text,
            "<line x1=\"{limit}\" x2=\"{limit}\" y1=\"34\" y2=\"{y}\" stroke=\"#d93025\" stroke-dasharray=\"4 3\"/>\n</svg>"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_its_bar_in_each_group() {
        let spread = |median| Spread { median, least: median - 0.1, greatest: median + 0.1 };
        let mut plot = Plot::new("title".into());
        plot.group("plaintext", vec![("one".into(), spread(1.0)), ("two".into(), spread(0.5))]);
        plot.group("empty", Vec::new());
        plot.group("json", vec![("two".into(), spread(0.25))]);
        let svg = plot.svg();
        assert_eq!(svg.matches("<rect x=").count(), 3);
        assert_eq!(svg.matches("width=\"240.0\"").count(), 1, "0.5 is half the scale: {svg}");
        assert!(svg.contains("0.25") && svg.contains("json") && !svg.contains("empty"));
        // A server keeps its colour.
        assert_eq!(svg.matches(COLOURS[1]).count(), 2);
    }
}
