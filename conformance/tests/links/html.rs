//! As much of HTML as is needed to look at pages that we have made ourselves.

/// A start tag: its name and its attributes with their values, decoded.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    /// What follows it, up to the next tag.
    pub(crate) text: String,
}

impl Tag {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(name, _)| name.as_str())
    }
}

/// All start and end tags; those of the end begin with `/`.
pub(crate) fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let (tag, after) = rest[start + 1..].split_once('>').expect("a tag ends");
        let text = &after[..after.find('<').unwrap_or(after.len())];
        let (name, mut attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        let mut found = Vec::new();
        loop {
            attributes = attributes.trim_start();
            if attributes.is_empty() {
                break;
            }
            let end = attributes.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(attributes.len());
            let key = attributes[..end].to_owned();
            attributes = &attributes[end..];
            let value = match attributes.strip_prefix("=\"").and_then(|quoted| quoted.split_once('"')) {
                Some((value, after)) => {
                    attributes = after;
                    decode(value)
                }
                None => {
                    assert!(!attributes.starts_with('='), "values are quoted: {tag}");
                    String::new()
                }
            };
            found.push((key, value));
        }
        tags.push(Tag { name: name.to_ascii_lowercase(), attributes: found, text: decode(text) });
        rest = after;
    }
    tags
}

fn decode(text: &str) -> String {
    [("&#x2f;", "/"), ("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The text of the element of an id, without markup.
#[track_caller]
pub(crate) fn text_of(page: &str, id: &str) -> String {
    let tags = tags(page);
    let start = tags.iter().position(|tag| tag.get("id") == Some(id));
    let start = start.unwrap_or_else(|| panic!("there is no {id} in {page}"));
    let end = format!("/{}", tags[start].name);
    let inner = tags[start..].iter().take_while(|tag| tag.name != end);
    inner.map(|tag| tag.text.as_str()).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value of the field of a name.
#[track_caller]
pub(crate) fn value_of(page: &str, name: &str) -> String {
    let tags = tags(page);
    let field = tags.iter().find(|tag| tag.name == "input" && tag.get("name") == Some(name));
    field.unwrap_or_else(|| panic!("there is no field {name}")).get("value").unwrap_or_default().to_owned()
}

/// Whether there is an element of an id.
pub(crate) fn has(page: &str, id: &str) -> bool {
    tags(page).iter().any(|tag| tag.get("id") == Some(id))
}
