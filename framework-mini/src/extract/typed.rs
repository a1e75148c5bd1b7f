//! [`Query`], [`Form`] and [`Json`]: input as types of yours, by serde.

use serde::de::DeserializeOwned;

use gateway_spec::Status;

use super::FromRequest;
#[cfg(feature = "forms")]
use super::fields;
use crate::{Error, Needs, Request};

/// The query string as a type of yours.
///
/// A name that comes several times can be a `Vec`; a field that is empty or missing can be an `Option`.
///
/// ```
/// use framework_mini::{App, Query};
///
/// #[derive(serde::Deserialize)]
/// struct Search { q: String, page: Option<u32>, #[serde(default)] tag: Vec<String> }
///
/// fn search(Query(search): Query<Search>) -> String {
///     format!("{} on page {} of {:?}", search.q, search.page.unwrap_or(1), search.tag)
/// }
/// let site = App::new(()).get("/", search).build().unwrap(); // /?q=rust&tag=a&tag=b&page=
/// ```
#[cfg(feature = "forms")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<T>(pub T);

#[cfg(feature = "forms")]
impl<S, T: DeserializeOwned> FromRequest<S> for Query<T> {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let query = request.query();
        fields::limited(query.as_bytes(), request.field_limit(), Status::BAD_REQUEST)?;
        serde_html_form::from_str(query)
            .map(Query)
            .map_err(|error| Error::bad_request(format!("The query string does not fit: {error}.")))
    }
}

/// A form that was posted (`application/x-www-form-urlencoded`), as a type of yours; see [`Query`] for the rules.
///
/// `Result<Form<T>, Error>` lets a handler show the form again; [`Fields`](crate::Fields) lets it say what is wrong with
/// each field.
///
/// ```
/// use framework_mini::{App, Error, Form, Redirect};
///
/// #[derive(serde::Deserialize)]
/// struct New { title: String, pages: Option<u32> }
///
/// fn create(form: Result<Form<New>, Error>) -> Result<Redirect, String> {
///     let Form(new) = form.map_err(|error| format!("Once more, please: {}", error.message()))?;
///     println!("{} with {:?} pages", new.title, new.pages);
///     Ok(Redirect::to("/"))
/// }
/// let site = App::new(()).post("/books", create).build().unwrap();
/// ```
#[cfg(feature = "forms")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form<T>(pub T);

#[cfg(feature = "forms")]
impl<S, T: DeserializeOwned> FromRequest<S> for Form<T> {
    const NEEDS: Needs = Needs::BODY;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let body = fields::form_body(request)?;
        serde_html_form::from_bytes(&body)
            .map(Form)
            .map_err(|error| Error::unprocessable(format!("The form does not fit: {error}.")))
    }
}

/// JSON: of a request as a type of yours, and of a response.
///
/// What is not JSON is 400, what is JSON of another form 422, and what does not say that it is JSON 415.
///
/// ```
/// use framework_mini::{App, Json};
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Point { x: f64, y: f64 }
///
/// fn mirror(Json(point): Json<Point>) -> Json<Point> {
///     Json(Point { x: point.y, y: point.x })
/// }
/// let site = App::new(()).post("/mirror", mirror).build().unwrap();
/// ```
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<S, T: DeserializeOwned> FromRequest<S> for Json<T> {
    const NEEDS: Needs = Needs::BODY;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let content_type = request.environ().content_type().map(|value| value.to_string_lossy().to_ascii_lowercase());
        let essence = content_type.as_deref().and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if essence != "application/json" && !(essence.starts_with("application/") && essence.ends_with("+json")) {
            return Err(Error::new(Status::UNSUPPORTED_MEDIA_TYPE, "Send JSON: Content-Type: application/json."));
        }
        serde_json::from_slice(&request.body()?).map(Json).map_err(|error| match error.is_data() {
            true => Error::unprocessable(format!("The JSON does not fit: {error}.")),
            false => Error::bad_request(format!("This is not JSON: {error}.")),
        })
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize> crate::IntoResponse for Json<T> {
    fn into_response(self) -> crate::Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => crate::response::of_type("application/json", json),
            Err(error) => Error::internal(error).into_response(),
        }
    }
}
