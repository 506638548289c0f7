//! Who is in which room.

use serde::{Deserialize, Serialize};

/// The size of the rooms that nobody publishes to.
const QUIET_ROOM_LEN: usize = 10;

/// How many clients there are, and the sizes of the rooms that messages go to.
///
/// Each client is in three rooms: its user's (alone), its tenant's (with everybody), and one
/// account's. The first clients fill the measured accounts, the rest sits in accounts of ten.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Layout {
    /// All clients.
    pub(crate) clients: usize,
    /// Sizes of the measured rooms.
    pub(crate) rooms: Vec<usize>,
}

impl Layout {
    /// The account that a client subscribes to.
    pub(crate) fn account_of(&self, client: usize) -> String {
        let mut first = 0;
        for &len in &self.rooms {
            if client < first + len {
                return account(len);
            }
            first += len;
        }
        format!("quiet-{}", (client - first) / QUIET_ROOM_LEN)
    }
}

/// The name of the measured account with so many listeners.
pub(crate) fn account(len: usize) -> String {
    format!("a-{len}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_clients_fill_the_measured_rooms() {
        let layout = Layout {
            clients: 40,
            rooms: vec![20, 5],
        };

        let accounts: Vec<String> = [0, 19, 20, 24, 25, 35]
            .map(|client| layout.account_of(client))
            .into();

        assert_eq!(
            accounts,
            ["a-20", "a-20", "a-5", "a-5", "quiet-0", "quiet-1"]
        );
    }
}
