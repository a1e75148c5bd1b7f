//~ `User` cannot be an argument of a handler | implement `FromRequest<()>` for `User`
use framework_mini::{App, Path, Query};

struct User;

fn show(_: Path<u64>, _: User, _: Query<()>) -> &'static str {
    ""
}

fn main() {
    let _ = App::new(()).get("/{id}", show).build();
}
