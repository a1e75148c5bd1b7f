//! [`Templates`] and [`Page`]: pages by templates, through minijinja.

use std::fmt;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context, path_loader};
use serde::Serialize;

use crate::context::{Context, Urls};
use crate::{Error, IntoResponse, Response, media_type};

/// The templates of an application, in the language of Jinja.
///
/// In templates called `.html` what is put in is escaped. A variable that does not exist is an error, not an empty
/// place. Beside the page's own values there are:
///
/// | in the template | is |
/// |---|---|
/// | `url_for("note", id=7)` | the URL of a named route, see [`Urls::url_for`] |
/// | `path("/static/a.css")` | a path of the application, with the prefix under which it is mounted |
/// | `flashes()` | the messages of the session, each once (feature `sessions`) |
#[derive(Clone)]
pub struct Templates(Arc<Environment<'static>>);

impl Templates {
    fn environment() -> Environment<'static> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment
    }

    /// The files of a folder, read when they are needed; in debug builds again when they have changed.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        let mut environment = Self::environment();
        environment.set_loader(path_loader(folder.into()));
        environment.set_auto_reload(cfg!(debug_assertions));
        Self(Arc::new(environment))
    }

    /// Templates in the program, each a name and a text: with `include_str!` one file is all there is to ship.
    ///
    /// # Errors
    /// 500 with the template and the line that is wrong.
    pub fn embedded<'t>(templates: impl IntoIterator<Item = (&'t str, &'t str)>) -> Result<Self, Error> {
        let mut environment = Self::environment();
        for (name, source) in templates {
            environment.add_template_owned(name.to_owned(), source.to_owned())?;
        }
        Ok(Self(Arc::new(environment)))
    }

    /// With filters, functions and globals of your own: see [`Environment`].
    #[must_use]
    pub fn with(self, change: impl FnOnce(&mut Environment<'static>)) -> Self {
        let mut environment = Arc::unwrap_or_clone(self.0);
        change(&mut environment);
        Self(Arc::new(environment))
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.templates().map(|(name, _)| name)).finish()
    }
}

/// A page by a template, with values.
///
/// ```
/// use framework_mini::{App, Error, Page, Path, Templates, context};
///
/// fn greet(Path(name): Path<String>) -> Page {
///     Page::new("greet.html", context! { name })
/// }
///
/// let templates = Templates::embedded([("greet.html", "<h1>Hello, {{ name }}!</h1>")])?;
/// let site = App::new(()).templates(templates).get("/{name}", greet).build()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Page {
    template: String,
    values: Value,
}

impl Page {
    /// The page of a template with these values: a struct that can be serialized, or [`context!`](crate::context), in which
    /// a value of a type of yours stands in `Serde`:
    ///
    /// ```
    /// use framework_mini::{Page, context, minijinja::value::Serde};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Task { text: String, done: bool }
    ///
    /// fn tasks(tasks: Vec<Task>, page: u32) -> Page {
    ///     Page::new("tasks.html", context! { tasks => Serde(tasks), page })
    /// }
    /// ```
    pub fn new(template: &str, values: impl Serialize) -> Self {
        Self { template: template.to_owned(), values: Value::from(Serde(values)) }
    }

    fn render(self, context: &Context<'_, '_>) -> Result<Response, Error> {
        let templates = context.shared.templates.as_ref();
        let templates = templates.ok_or_else(|| Error::internal("there are no templates: call App::templates"))?;
        let (urls, also_urls) = (context.urls(), context.urls());
        let functions = context! {
            url_for => Value::from_function(move |name: String, values: Kwargs| url_for(&urls, &name, &values)),
            path => Value::from_function(move |path: String| also_urls.path(&path).to_string()),
            flashes => flashes(context),
        };
        let template = templates.0.get_template(&self.template)?;
        let text = template.render(context! { ..self.values, ..functions })?;
        Ok(Response::new(text))
    }
}

fn url_for(urls: &Urls, name: &str, values: &Kwargs) -> Result<String, minijinja::Error> {
    let names: Vec<&str> = values.args().collect();
    let values: Vec<Value> = names.iter().map(|name| values.get(name)).collect::<Result<_, _>>()?;
    let pairs: Vec<(&str, &dyn Display)> =
        names.iter().zip(&values).map(|(name, value)| (*name, value as &dyn Display)).collect();
    let url = urls.url_for(name, &pairs);
    url.map(|url| url.to_string())
        .map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, format!("{error:?}")))
}

/// A function that takes the messages of the session: once, and only if the template asks.
#[cfg(feature = "sessions")]
fn flashes(context: &Context<'_, '_>) -> Value {
    let session = context.environ.extensions().get::<crate::Session>().cloned();
    Value::from_function(move || session.as_ref().map(crate::Session::take_flashes).unwrap_or_default())
}

#[cfg(not(feature = "sessions"))]
fn flashes(_: &Context<'_, '_>) -> Value {
    Value::from_function(Vec::<String>::new)
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        // By the name without the ending that some editors like.
        let name = self
            .template
            .strip_suffix(".j2")
            .or_else(|| self.template.strip_suffix(".jinja"))
            .unwrap_or(&self.template);
        let content_type = media_type::of_name(name);
        Response::deferred(move |response, context| match self.render(context) {
            Ok(page) => {
                Response { content: page.content, ..response }.with_default_header("Content-Type", content_type)
            }
            Err(error) => error.into_response(),
        })
    }
}
