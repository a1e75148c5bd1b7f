use framework_mini::middleware::{CrossOriginCheck, SessionKey, Sessions};
use framework_mini::{
    App, Error, FieldErrors, Fields, IntoResponse, Page, Redirect, Response, Session, Sqlite, State, Status, Templates,
};
use gateway_spec::Application;

const BOOK: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Guest book</title>
<h1>Guest book</h1>
{% for message in flashes() %}<p role="status">{{ message }}</p>{% endfor %}
<form method="post" action="{{ url_for("book") }}">
  <p><label>Name <input name="name" value="{{ fields.name | default }}"></label> {{ errors.name | default }}</p>
  <p><label>Text <textarea name="text">{{ fields.text | default }}</textarea></label> {{ errors.text | default }}</p>
  <button>Sign</button>
</form>
{% for name, text in entries %}<p><b>{{ name }}</b>: {{ text }}</p>
{% endfor %}</html>"#;

#[derive(serde::Serialize)]
struct Book {
    entries: Vec<(String, String)>,
    fields: Fields,
    errors: FieldErrors,
}

fn page(db: &Sqlite, fields: Fields, errors: FieldErrors) -> Result<Page, Error> {
    let newest = "SELECT name, text FROM entry ORDER BY id DESC LIMIT 50";
    let entries = db.all(newest, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Page::new("book.html", Book { entries, fields, errors }))
}

fn show(State(db): State<Sqlite>) -> Result<Page, Error> {
    page(&db, Fields::default(), FieldErrors::new())
}

fn sign(State(db): State<Sqlite>, fields: Fields, session: Session) -> Result<Response, Error> {
    let mut errors = FieldErrors::new();
    let (name, text) = (fields.text("name", &mut errors), fields.text("text", &mut errors));
    if !errors.is_empty() {
        return Ok((Status::UNPROCESSABLE_CONTENT, page(&db, fields, errors)?).into_response());
    }
    db.write(|db| Ok(db.execute("INSERT INTO entry (name, text) VALUES (?, ?)", (name, text))?))?;
    session.flash(format!("Thank you, {name}!"))?;
    Ok(Redirect::route("book", &[]).into_response())
}

pub fn app(db: Sqlite, key: SessionKey) -> Result<impl Application, Error> {
    let db = db.migrate(&["CREATE TABLE entry (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL)"])?;
    let templates = Templates::embedded([("book.html", BOOK)])?;
    let site = App::new(db).templates(templates).get("/", show).name("book").post("/", sign).build()?;
    Ok(CrossOriginCheck::new(Sessions::new(site, key)))
}
