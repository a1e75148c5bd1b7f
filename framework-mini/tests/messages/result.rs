//~ `Note` is not something a handler can return | `Html<_>` | implement `IntoResponse` for `Note`
use framework_mini::App;

struct Note;

fn show() -> Note {
    Note
}

fn main() {
    let _ = App::new(()).get("/", show).build();
}
