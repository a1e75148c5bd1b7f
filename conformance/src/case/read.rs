//! Files of cases: sections, their lines, and the rows of their tables.

use super::{Action, Case, Mistake, Place, expect, send};
use crate::harness::Limits;

/// Reads the cases of one file.
///
/// # Errors
/// The first mistake, with its line.
pub fn read_text(file: &str, text: &str) -> Result<Vec<Case>, Mistake> {
    let mut cases = Vec::new();
    for section in sections(file, text)? {
        section.cases(file, &mut cases)?;
    }
    Ok(cases)
}

/// A line with its number.
type Line = (usize, String);

/// One `##` section as it stands in the file.
#[derive(Default)]
struct Section {
    line: usize,
    heading: String,
    shows: Option<Line>,
    limits: Option<Line>,
    pieces: Option<Line>,
    columns: Vec<String>,
    rows: Vec<(usize, Vec<String>)>,
    /// The connection's name and the lines, for each `send` block.
    sends: Vec<(String, Vec<Line>)>,
    expect: Option<Vec<Line>>,
}

fn sections(file: &str, text: &str) -> Result<Vec<Section>, Mistake> {
    let mut sections: Vec<Section> = Vec::new();
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    while let Some((number, line)) = lines.next() {
        let mistake = |message: &str| Mistake {
            place: Place { file: file.to_owned(), line: number },
            message: message.to_owned(),
        };
        if let Some(heading) = line.strip_prefix("## ") {
            sections.push(Section { line: number, heading: heading.to_owned(), ..Section::default() });
            continue;
        }
        let Some(section) = sections.last_mut() else {
            if line.starts_with("```") {
                return Err(mistake("a block before the first case"));
            }
            continue;
        };
        let said = |key: &str| line.strip_prefix(key).map(|value| (number, value.trim().to_owned()));
        if let Some(shows) = said("Shows:") {
            section.shows = Some(shows);
        } else if let Some(limits) = said("Limits:") {
            section.limits = Some(limits);
        } else if let Some(pieces) = said("Pieces:") {
            section.pieces = Some(pieces);
        } else if line.starts_with('|') {
            section.table_row(number, line).map_err(|message| mistake(&message))?;
        } else if let Some(info) = line.strip_prefix("```") {
            let mut block = Vec::new();
            loop {
                match lines.next() {
                    None => return Err(mistake("this block does not end")),
                    Some((_, "```")) => break,
                    Some((number, line)) => block.push((number, line.to_owned())),
                }
            }
            match info.split_once(' ').unwrap_or((info, "")) {
                ("send", name) => section.sends.push((name.to_owned(), block)),
                ("expect", "") if section.expect.is_none() => section.expect = Some(block),
                _ => return Err(mistake("a block is `send`, `send` with a name, or one `expect`")),
            }
        }
    }
    Ok(sections)
}

impl Section {
    fn table_row(&mut self, number: usize, line: &str) -> Result<(), String> {
        let cells = cells(line)?;
        if self.columns.is_empty() {
            if cells.first().is_none_or(|first| first != "case") {
                return Err("the first column of a table is called `case`".to_owned());
            }
            self.columns = cells;
        } else if cells.iter().all(|cell| cell.chars().all(|c| c == '-')) {
            // The line below the names.
        } else if cells.len() != self.columns.len() {
            return Err(format!("{} cells for {} columns", cells.len(), self.columns.len()));
        } else {
            self.rows.push((number, cells));
        }
        Ok(())
    }

    fn cases(&self, file: &str, cases: &mut Vec<Case>) -> Result<(), Mistake> {
        let at = |line: usize| move |message: String| Mistake { place: Place { file: file.to_owned(), line }, message };
        let (id, title) = self
            .heading
            .split_once(": ")
            .ok_or_else(|| at(self.line)("a title is missing: `## id: title`".to_owned()))?;
        if !is_id(id) {
            return Err(at(self.line)(format!("{id:?} is not an id: lower-case letters, digits and dashes")));
        }
        for column in self.columns.iter().skip(1) {
            if !self.lines().any(|(_, line)| line.contains(&format!("\\{{{column}}}"))) {
                return Err(at(self.line)(format!("the column {column:?} is not used")));
            }
        }
        if self.columns.is_empty() {
            cases.push(self.case(file, self.line, id.to_owned(), title, &[])?);
        } else if self.rows.is_empty() {
            return Err(at(self.line)("a table without rows".to_owned()));
        }
        for (line, row) in &self.rows {
            if !is_id(&row[0]) {
                return Err(at(*line)(format!("{:?} is not an id", row[0])));
            }
            let id = format!("{id}/{}", row[0]);
            if cases.iter().any(|case| case.id == id) {
                return Err(at(*line)(format!("the id {id:?} is there already")));
            }
            let values: Vec<(&str, &str)> =
                self.columns.iter().map(String::as_str).zip(row.iter().map(String::as_str)).skip(1).collect();
            cases.push(self.case(file, *line, id, title, &values)?);
        }
        Ok(())
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.sends.iter().flat_map(|(_, lines)| lines).chain(self.expect.iter().flatten())
    }

    /// One case: the section with the values of one row in place.
    fn case(&self, file: &str, line: usize, id: String, title: &str, values: &[(&str, &str)]) -> Result<Case, Mistake> {
        let place = Place { file: file.to_owned(), line };
        let mistake = |message: String| Mistake { place: place.clone(), message };
        let filled = |lines: &[Line]| -> Vec<Line> {
            let fill = |line: &str| {
                values.iter().fold(line.to_owned(), |line, (name, value)| line.replace(&format!("\\{{{name}}}"), value))
            };
            lines.iter().map(|(number, line)| (*number, fill(line))).filter(|(_, line)| !line.is_empty()).collect()
        };

        let (_, shows) = self.shows.as_ref().ok_or_else(|| mistake("`Shows:` is missing".to_owned()))?;
        let shows: Vec<String> = shows.split(", ").map(str::to_owned).collect();
        let limits = match &self.limits {
            None => Limits::default(),
            Some((_, text)) => Limits::parse(text).map_err(mistake)?,
        };
        let whole_only = match &self.pieces {
            None => None,
            Some((_, text)) => {
                let reason = text.strip_prefix("whole, because ");
                Some(
                    reason.ok_or_else(|| mistake("`Pieces: whole, because …` needs its reason".to_owned()))?.to_owned(),
                )
            }
        };

        let mut names: Vec<String> = Vec::new();
        let mut steps = Vec::new();
        for (name, lines) in &self.sends {
            let connection = names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            steps.extend(send::read(connection, &filled(lines), file)?);
        }
        if steps.is_empty() {
            return Err(mistake("nothing is sent".to_owned()));
        }
        let left: Vec<bool> = (0..names.len())
            .map(|n| steps.iter().any(|step| step.connection == n && step.action == Action::Leave))
            .collect();

        let lines = self.expect.as_ref().ok_or_else(|| mistake("`expect` is missing".to_owned()))?;
        let expectation = expect::read(&filled(lines), file)?;
        let connections = expect::outcomes(expectation.connections, &names, &left).map_err(mistake)?;
        Ok(Case {
            id,
            title: title.to_owned(),
            shows,
            limits,
            whole_only,
            place: place.clone(),
            steps,
            connections,
            calls: expectation.calls,
            saw: expectation.saw,
        })
    }
}

/// The cells of a table row: text, or a text in backticks; `\|` stands for a bar.
fn cells(line: &str) -> Result<Vec<String>, String> {
    let inner =
        line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|')).ok_or("a table row ends in a bar")?;
    let bars = inner.replace(r"\|", "\u{1}");
    Ok(bars
        .split('|')
        .map(|cell| {
            let cell = cell.trim();
            let cell = match cell {
                // An empty text in backticks.
                "``" => "",
                _ => cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or(cell),
            };
            cell.replace('\u{1}', "|")
        })
        .collect())
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
