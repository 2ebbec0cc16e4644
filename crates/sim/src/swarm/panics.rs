//! Decides how a panic inside a scenario is named: its message and place, without the noise on
//! standard error.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// Runs something in which a panic is a finding, not a crash: it is remembered instead of printed.
pub(super) fn watched<T>(run: impl FnOnce() -> T) -> T {
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if QUIET.get() {
                let place = panic.location().map(ToString::to_string);
                PLACE.with_borrow_mut(|p| *p = place.unwrap_or_default());
            } else {
                usual(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = run();
    QUIET.set(before);
    result
}

/// The broken rule that a panic is.
pub(super) fn rule(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    let place = PLACE.with_borrow_mut(std::mem::take);
    format!("rule 8: panic at {place}: {message}")
}
