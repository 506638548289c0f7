//! What every journal must keep, as tests: run by the tests of each implementation alike.
//!
//! ```text
//! switchboard_journal::conformance_suite!(|setup: Setup| async move { open(setup) });
//! ```
//!
//! Nothing here waits by the clock: each test is decided by what the journal answers.

// A suite of tests that lives outside of `cfg(test)`, so that other crates can run it.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests, named by what they prove"
)]

pub mod append;
pub mod concurrency;
pub mod erase;
mod fixture;
pub mod fleeting;
pub mod leases;
pub mod model;
pub mod read;
pub mod retention;
mod rng;
pub mod session_model;
pub mod sessions;
pub mod state;
mod store;
pub mod tail;

use std::any::Any;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use crate::{Fleeting, Journal, KindRetention, Leases, Sessions};

/// How a test wants its journal.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many partitions.
    pub partitions: NonZeroU16,
    /// How long records are kept.
    pub retention_age: Duration,
    /// How many bytes of records are kept.
    pub retention_bytes: u64,
    /// Kinds of records that are kept for less time.
    pub retention_events: Vec<KindRetention>,
    /// Whether reads and tails of the past should find as little as possible in memory.
    pub forgetful: bool,
    /// How many sessions are kept.
    pub sessions_max: NonZeroU32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            partitions: NonZeroU16::new(4).unwrap(),
            retention_age: Duration::from_hours(24),
            retention_bytes: 1024 * 1024 * 1024,
            retention_events: Vec::new(),
            forgetful: false,
            sessions_max: NonZeroU32::new(1_000_000).unwrap(),
        }
    }
}

/// An empty journal under test, and what must live as long as it does.
pub struct Subject {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// What its clients come back to; closed along with it.
    pub sessions: Arc<dyn Sessions>,
    /// What ends when its holder dies; closed along with it.
    pub leases: Arc<dyn Leases>,
    /// What is so for a moment; closed along with it.
    pub fleeting: Arc<dyn Fleeting>,
    /// A directory, a server.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

/// Makes a test of each promise; `$open` is a function from [`Setup`] to a future [`Subject`].
///
/// `all but erasing` is for journals that make no tombstones yet: they refuse
/// [`erase`](crate::Journal::erase), and keep all kinds of events for the same time.
#[macro_export]
macro_rules! conformance_suite {
    ($open:expr) => {
        $crate::conformance_suite! { $open, all but erasing }
        $crate::conformance_suite! { @tests $open;
            retention::kinds_that_are_kept_for_less_time_leave_their_places,
            erase::an_erased_record_leaves_its_place_and_nothing_else,
            erase::an_erased_event_is_still_known,
            erase::an_erased_record_takes_its_values_along,
            erase::another_room_or_tenant_is_not_erased,
            erase::what_is_appended_later_is_not_erased,
            erase::a_closed_journal_erases_nothing,
        }
    };
    ($open:expr, all but erasing) => {
        $crate::conformance_suite! { @tests $open;
            append::offsets_start_at_one_and_are_dense,
            append::an_empty_batch_is_answered_with_nothing,
            append::a_refused_batch_leaves_nothing,
            append::the_same_event_is_one_record,
            append::the_same_id_with_other_content_is_refused,
            append::a_batch_may_hold_an_event_twice,
            append::event_ids_of_tenants_are_apart,
            append::an_event_for_everyone_has_a_place_in_each_partition,
            append::a_batch_for_another_partition_is_refused,
            append::a_closed_journal_refuses,
            append::new_records_are_counted_and_duplicates_are_not,
            concurrency::identical_appends_at_once_make_one_record,
            concurrency::of_two_events_racing_for_an_id_one_is_refused,
            concurrency::appends_at_once_get_dense_offsets,
            concurrency::of_many_writers_expecting_one_version_one_wins,
            concurrency::an_append_that_nobody_waits_for_has_one_outcome,
            concurrency::closing_finishes_what_was_queued,
            concurrency::tails_and_reads_keep_up_with_appends_at_once,
            state::a_value_is_read_back,
            state::a_change_happens_only_as_expected,
            state::versions_never_come_back,
            state::a_value_expires,
            state::a_retry_does_not_change_again,
            state::a_change_of_an_event_happens_with_it_and_not_again,
            state::of_several_changes_of_a_key_the_last_stays,
            state::keys_of_tenants_are_apart,
            state::values_come_in_the_order_of_their_keys,
            read::what_is_read_is_what_was_appended,
            read::records_that_await_a_receipt_are_found_until_its_end,
            read::records_of_several_rooms_come_in_order_and_once,
            read::pages_go_on_where_the_last_one_ended,
            read::pages_are_bounded_in_bytes,
            read::nothing_beyond_through_is_read,
            read::records_for_everyone_are_found_when_asked_for,
            read::expired_records_are_skipped,
            read::rooms_of_tenants_are_apart,
            read::a_quiet_room_is_found_in_a_busy_journal,
            read::positions_that_are_not_of_this_history_are_refused,
            tail::a_tail_begins_after_its_position_and_goes_on_live,
            tail::a_cancelled_wait_loses_nothing,
            tail::many_tails_see_the_same,
            tail::a_tail_that_fell_behind_misses_nothing,
            tail::expired_records_keep_their_place_in_a_tail,
            tail::a_tail_ends_when_the_journal_is_closed,
            tail::a_tail_refuses_positions_that_are_not_of_this_history,
            retention::old_records_are_taken,
            retention::too_many_bytes_are_taken_from_the_oldest_on,
            retention::offsets_go_on_when_everything_was_taken,
            model::random_batches_do_as_a_simple_model_says,
            sessions::a_session_comes_back_as_it_was_saved,
            sessions::an_unknown_session_is_not_claimed,
            sessions::a_claim_fences_the_older_owner,
            sessions::somebody_elses_session_is_not_claimed,
            sessions::claims_at_once_get_different_generations,
            sessions::a_session_expires,
            sessions::a_claim_and_a_touch_extend_a_life_and_never_shorten_it,
            sessions::many_sessions_are_touched_at_once,
            sessions::a_removed_session_is_gone,
            sessions::beyond_their_number_the_session_that_expires_first_goes,
            sessions::a_session_has_a_bounded_number_of_rooms,
            sessions::sessions_and_events_are_written_side_by_side,
            sessions::a_closed_store_of_sessions_refuses,
            session_model::random_session_writes_do_as_a_simple_model_says,
            leases::a_lease_is_held_until_it_is_released,
            leases::several_may_hold_a_name,
            leases::a_lease_whose_time_is_over_is_held_until_it_is_taken,
            leases::a_lease_is_taken_once,
            leases::renewing_extends_and_never_shortens_and_says_what_is_gone,
            leases::leases_of_other_partitions_and_prefixes_are_apart,
            leases::a_long_list_is_read_in_pages,
            leases::expired_leases_are_taken_oldest_first_and_a_page_at_a_time,
            leases::too_much_at_once_is_refused,
            leases::leases_and_events_are_written_side_by_side,
            leases::random_leases_do_as_a_simple_model_says,
            leases::a_closed_store_of_leases_refuses,
            fleeting::what_is_said_is_heard_by_all_who_listen_in_order,
            fleeting::partitions_do_not_hear_each_other,
            fleeting::what_was_said_before_is_not_heard,
            fleeting::a_cancelled_listener_loses_nothing,
            fleeting::a_slow_listener_loses_the_oldest_and_is_told,
            fleeting::nobody_hears_of_a_closed_store,
        }
    };
    (@tests $open:expr; $($module:ident::$test:ident,)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            $crate::conformance::$module::$test(&$open).await;
        }
    )+};
}
