//! What Redis does in one step.

use std::sync::LazyLock;

use redis::Cmd;

/// A Lua script and the hash that Redis knows it by.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    hash: String,
}

impl Script {
    fn new(parts: &[&str]) -> Self {
        let text = parts.concat();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// Calls the script with `keys`; its arguments follow.
    pub(crate) fn call(&self, keys: &[String]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(keys.len()).arg(keys);
        call
    }

    /// Has Redis learn the script.
    pub(crate) fn load(&self) -> Cmd {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(&self.text);
        load
    }
}

macro_rules! scripts {
    ($($name:ident: $($part:literal)+;)+) => {$(
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(&[$(include_str!(concat!("scripts/", $part))),+]));
    )+};
}

scripts! {
    APPEND: "prove.lua" "retain.lua" "append.lua";
    UPKEEP: "allow_oom.lua" "prove.lua" "retain.lua" "upkeep.lua";
    LOOK: "prove.lua" "look.lua";
    INDEX: "prove.lua" "index.lua";
    RECORDS: "prove.lua" "records.lua";
    FETCH: "prove.lua" "fetch.lua";
    FOUND: "found.lua";
    MAKE: "make.lua";
    RIGHTS: "rights.lua";
    SAVE: "session.lua" "save.lua";
    CLAIM: "session.lua" "claim.lua";
    TOUCH: "session.lua" "touch.lua";
    REMOVE: "session.lua" "remove.lua";
    FORGET: "session.lua" "forget.lua";
    HOLD: "lease.lua" "hold.lua";
    RENEW: "lease.lua" "renew.lua";
    RELEASE: "lease.lua" "release.lua";
    HELD: "lease.lua" "held.lua";
    TAKE: "lease.lua" "take.lua";
}
