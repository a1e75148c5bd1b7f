//~ `State<Other>` cannot be an argument of a handler | expected `Other`, found `Db`
use framework_mini::{App, State};

struct Db;
struct Other;

fn show(_: State<Other>) -> &'static str {
    ""
}

fn main() {
    let _ = App::new(Db).get("/", show).build();
}
