//~ `Color: FromStr` is not satisfied | Path<Color>` to implement `FromRequest<()>`
use framework_mini::{App, Path};

struct Color;

fn show(_: Path<Color>) -> &'static str {
    ""
}

fn main() {
    let _ = App::new(()).get("/{color}", show).build();
}
