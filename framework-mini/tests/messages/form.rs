//~ `New: serde::Deserialize<'de>` is not satisfied | adding `#[derive(serde::Deserialize)]` to your `New` type
use framework_mini::{App, Form};

struct New;

fn create(_: Form<New>) -> &'static str {
    ""
}

fn main() {
    let _ = App::new(()).post("/", create).build();
}
