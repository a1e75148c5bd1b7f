//! `links` on every server, at the root and below paths: what its users rely on (D.6).

mod browser;
mod html;
#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod api;
mod pages;
mod robustness;

use accounts::*;
use api::*;
use pages::*;
use robustness::*;
use support::{on_every_server, on_server};

on_every_server! {
    a_link_from_its_making_to_its_end
    what_is_wrong_is_told_and_nothing_is_lost
    markup_is_text
    two_at_the_same_form
    unknown_names_are_offered
    searching_sorting_paging
    every_link_form_and_redirect_stays_below_the_mount
    by_keyboard_and_without_scripts
    static_files
    logging_in_and_out
    whoever_is_not_logged_in_is_sent_back_after
    forged_cookies_are_no_login
    guessing_is_slowed_down
    a_new_password_ends_other_sessions
    json
    json_errors
    csv_row_by_row
    other_sites_change_nothing
    two_hundred_visits_at_once
    a_locked_database_is_slow_and_no_error
    a_database_that_stays_locked_is_busy
    a_visit_that_cannot_be_counted_is_a_visit
    too_large_is_a_page
    a_restart_keeps_everything
}
