//~ `Cell<i32>` cannot be shared between threads safely
use std::cell::Cell;

use framework_mini::App;

fn main() {
    let count = Cell::new(0);
    let _ = App::new(()).get("/", move || { count.set(count.get() + 1); "" }).build();
}
