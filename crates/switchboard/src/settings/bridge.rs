//! Node's Socket.IO on the same Redis.

use std::collections::BTreeSet;

use switchboard_bridge::config::UID;
use switchboard_bridge::{Direction, Kind, Mapping, Validate};
use switchboard_event::TenantId;

use super::producers;
use super::reader::Section;

/// `[[bridge]]`: the namespaces that are bridged. With a single tenant all are of that one.
pub(super) fn read_all(
    sections: Vec<Section<'_>>,
    single: Option<&TenantId>,
) -> Option<Vec<Mapping>> {
    let mut names = BTreeSet::new();
    let mut mappings = Vec::with_capacity(sections.len());
    for mut section in sections {
        let source = section.source_of("namespace");
        let mapping = read(&mut section, single);
        if let Some(mapping) = &mapping
            && !names.insert(mapping.name())
        {
            let problem = "is bridged already: everything would be heard twice";
            section.refuse(&source, "namespace", problem);
        }
        section.finish();
        mappings.push(mapping);
    }
    mappings.into_iter().collect()
}

fn read(section: &mut Section<'_>, single: Option<&TenantId>) -> Option<Mapping> {
    if !section.has("kind") {
        section.missing("kind");
    }
    if single.is_none() && !section.has("tenant") {
        section.missing("tenant");
    }
    let kinds = [
        ("emitter", Word::Emitter),
        ("streams-emitter", Word::StreamsEmitter),
        ("adapter", Word::Adapter),
    ];
    let word = section.word("kind", &kinds);
    let namespace = name(section, "namespace", "/")?;
    if !namespace.starts_with('/') {
        let source = section.source_of("namespace");
        section.refuse(&source, "namespace", "must begin with \"/\"");
        return None;
    }
    let tenant = section.value("tenant", |value| producers::tenant(value.as_text(), single));
    let passthrough = section.flag("passthrough").unwrap_or(false);
    let validates = [("warn", Validate::Warn), ("refuse", Validate::Refuse)];
    let validate = section.word("validate", &validates);
    let kind = kind(section, word?)?;
    Some(Mapping {
        kind,
        namespace,
        tenant: tenant.or_else(|| single.cloned())?,
        passthrough,
        validate: validate.unwrap_or(Validate::Warn),
    })
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Word {
    Emitter,
    StreamsEmitter,
    Adapter,
}

fn kind(section: &mut Section<'_>, word: Word) -> Option<Kind> {
    let is_stream = word == Word::StreamsEmitter;
    let foreign = match word {
        Word::Emitter => &["stream", "direction", "uid"][..],
        Word::StreamsEmitter => &["prefix", "direction", "uid"],
        Word::Adapter => &["stream"],
    };
    for key in foreign {
        if section.has(key) {
            let source = section.source_of(key);
            section.refuse(&source, key, "is nothing that this kind of bridge has");
        }
    }
    let prefix = name(section, "prefix", "socket.io")?;
    let stream = if is_stream {
        section.text("stream")
    } else {
        None
    };
    let directions = [
        ("in", Direction::In),
        ("out", Direction::Out),
        ("both", Direction::Both),
    ];
    let direction = section.word("direction", &directions);
    let uid = section.value("uid", |value| match value.as_text() {
        Some(text) if is_uid(text) => Ok(text.to_owned()),
        _ => Err("must be 6 letters, digits, '-' or '_'".to_owned()),
    });
    Some(match word {
        Word::Emitter => Kind::Emitter { prefix },
        Word::StreamsEmitter => Kind::StreamsEmitter {
            stream: stream.unwrap_or_else(|| "socket.io".to_owned()),
        },
        Word::Adapter => Kind::Adapter {
            prefix,
            direction: direction.unwrap_or(Direction::Both),
            uid: uid.unwrap_or_else(|| UID.to_owned()),
        },
    })
}

/// A part of the names of channels. In a pattern some characters would stand for others.
fn name(section: &mut Section<'_>, key: &str, default: &str) -> Option<String> {
    if !section.has(key) {
        // So that it is known, for whoever misspells it.
        let _ = section.text(key);
        return Some(default.to_owned());
    }
    section.value(key, |value| match value.as_text() {
        Some(text) if (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(is_plain) => {
            Ok(text.to_owned())
        }
        _ => Err("must be 1 to 128 visible characters, none of them # * ? [ ] ^ \\".to_owned()),
    })
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"#*?[]^\\".contains(&byte)
}

/// As Node's servers are called. None is called "emitter", which has seven letters.
fn is_uid(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == 6 && text.bytes().all(is_letter)
}

const NAME_LEN_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::{Environment, Settings, SettingsError};

    const REDIS: &str = "[redis]\nurl = \"redis://crm:hidden@localhost\"\n";

    #[test]
    fn a_bridge_has_a_kind_and_a_tenant_and_defaults_for_the_rest() {
        let settings = load(&format!(
            "{REDIS}[[bridge]]\nkind = \"emitter\"\ntenant = \"acme\"\n\
             [[bridge]]\nkind = \"adapter\"\nnamespace = \"/crm\"\ntenant = \"globex\"\n\
             direction = \"out\"\nuid = \"abc-12\"\npassthrough = true\nvalidate = \"refuse\"\n\
             [[bridge]]\nkind = \"streams-emitter\"\nstream = \"events\"\ntenant = \"acme\"\n"
        ))
        .unwrap();

        assert!(!format!("{settings:?}").contains("hidden"));
        let [emitter, adapter, streams] = &*settings.bridges else {
            panic!("{:?}", settings.bridges);
        };
        let prefix = || "socket.io".to_owned();
        assert_eq!(emitter.kind, Kind::Emitter { prefix: prefix() });
        assert_eq!((&*emitter.namespace, emitter.passthrough), ("/", false));
        assert_eq!(emitter.validate, Validate::Warn);
        let expected = Kind::Adapter {
            prefix: prefix(),
            direction: Direction::Out,
            uid: "abc-12".to_owned(),
        };
        assert_eq!(adapter.kind, expected);
        assert!(adapter.passthrough && adapter.validate == Validate::Refuse);
        let stream = "events".to_owned();
        assert_eq!(streams.kind, Kind::StreamsEmitter { stream });
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (text, reason) in [
            ("kind = \"emitter\"\ntenant = \"a\"", "redis.url is missing"),
            ("tenant = \"a\"", "bridge[0].kind is missing"),
            ("kind = \"emitter\"", "bridge[0].tenant is missing"),
            (
                "kind = \"emitter\"\ntenant = \"a\"\ndirection = \"in\"",
                "bridge[0].direction is nothing that",
            ),
            (
                "kind = \"adapter\"\ntenant = \"a\"\nuid = \"emitter\"",
                "bridge[0].uid is \"emitter\", must be 6",
            ),
            (
                "kind = \"adapter\"\ntenant = \"a\"\nnamespace = \"crm\"",
                "must begin with",
            ),
            (
                "kind = \"adapter\"\ntenant = \"a\"\nnamespace = \"/c*\"",
                "none of them",
            ),
            (
                "kind = \"adapter\"\ntenant = \"a\"\npasstrough = true",
                "bridge[0].passthrough",
            ),
            (
                "kind = \"emitter\"\ntenant = \"a\"\n[[bridge]]\nkind = \"adapter\"\ntenant = \"b\"",
                "bridge[1].namespace is bridged already",
            ),
        ] {
            let refused = load(&format!("[[bridge]]\n{text}\n"))
                .unwrap_err()
                .to_string();

            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn a_single_tenant_needs_no_name() {
        let text =
            "[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\nsingle_tenant = \"acme\"\n";
        let text = format!("{text}{REDIS}[[bridge]]\nkind = \"emitter\"\n");
        let file = Some((Path::new("switchboard.toml"), &*text));

        let settings = Settings::from_text(file, &Environment::default()).unwrap();

        assert_eq!(settings.bridges[0].tenant.as_str(), "acme");
    }

    fn load(more: &str) -> Result<Settings, SettingsError> {
        let text = format!("[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n{more}");
        let file = Some((Path::new("switchboard.toml"), &*text));
        Settings::from_text(file, &Environment::default())
    }
}
