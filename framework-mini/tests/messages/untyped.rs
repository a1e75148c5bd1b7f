//~ type annotations needed | consider giving this closure parameter an explicit type
use framework_mini::App;

fn main() {
    let _ = App::new(()).get("/{id}", |id| "").build();
}
