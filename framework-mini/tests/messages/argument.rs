//~ `u64` cannot be an argument of a handler | this handler has an argument that is not an extractor | `Path<u64>`
use framework_mini::App;

fn show(id: u64) -> String {
    id.to_string()
}

fn main() {
    let _ = App::new(()).get("/{id}", show).build();
}
