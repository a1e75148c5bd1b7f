//~ is not something a handler can return | remove `async`
use framework_mini::App;

async fn show() -> &'static str {
    ""
}

fn main() {
    let _ = App::new(()).get("/", show).build();
}
