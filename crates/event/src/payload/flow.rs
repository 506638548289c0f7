//! Automated conversations.

use crate::id::Id;
use crate::time::WireTime;

super::payload! {
    /// A flow began to run.
    pub struct FlowStarted {
        /// The flow.
        pub flow_id: Id,
        /// This run of it.
        pub execution_id: Id,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A run of a flow came to its end.
    pub struct FlowCompleted {
        /// The flow.
        pub flow_id: Id,
        /// This run of it.
        pub execution_id: Id,
        /// What came of it.
        pub result: Option<FlowResult>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// What came of a run.
    pub struct FlowResult {
        /// How it ended.
        pub status: FlowResultStatus,
        /// How many steps it took.
        pub steps: Option<u64>,
    }

    /// A run of a flow broke off.
    pub struct FlowFailed {
        /// The flow.
        pub flow_id: Id,
        /// This run of it.
        pub execution_id: Id,
        /// Why.
        pub error: Option<String>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }
}

super::choice! {
    /// How a run of a flow ended.
    pub enum FlowResultStatus {
        /// At its end.
        Completed = "Completed",
    }
}
