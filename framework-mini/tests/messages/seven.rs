//~ cannot be used as a handler | of 0 to 6 arguments
use framework_mini::{App, Path};

type P = Path<u8>;

fn show(_: P, _: P, _: P, _: P, _: P, _: P, _: P) -> &'static str {
    ""
}

fn main() {
    let _ = App::new(()).get("/{a}/{b}/{c}/{d}/{e}/{f}/{g}", show).build();
}
