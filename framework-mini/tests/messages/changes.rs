//~ expected a closure that implements the `Fn` trait, but this closure only implements `FnMut` | closure is `FnMut` because it mutates the variable `count` here
use framework_mini::App;

fn main() {
    let mut count = 0;
    let _ = App::new(()).get("/", move || { count += 1; "" }).build();
}
