//~ `Option<String>` is not something a handler can return
use framework_mini::{App, Error};

fn show() -> Result<Option<String>, Error> {
    Ok(None)
}

fn main() {
    let _ = App::new(()).get("/", show).build();
}
