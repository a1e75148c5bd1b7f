//~ `&str` cannot be used as a handler | a handler is a function, or a closure
use framework_mini::App;

fn main() {
    let _ = App::new(()).get("/", "hello").build();
}
