//! The command line: one file per command.

mod address;
mod compare;
mod config;
mod demo;
mod dial;
mod failure;
mod http;
mod init;
mod journal;
mod listen;
mod outbox;
mod producer;
mod publish;
mod serve;
mod token;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::settings::{Environment, FILE_DEFAULT, LoadError, Settings, WrittenIn};

pub(crate) use self::failure::Failure;

/// Puts what happens in a WhatsApp CRM in front of the people who work in it, and loses nothing.
#[derive(Debug, Parser)]
#[command(name = "switchboard", version, after_help = AFTER_HELP)]
pub struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Serve(serve::Serve),
    Demo(demo::Demo),
    Token(token::Token),
    Publish(publish::Publish),
    Producer(producer::Producer),
    Listen(listen::Listen),
    Compare(compare::Compare),
    Journal(journal::Journal),
    Outbox(outbox::Outbox),
    Config(config::Config),
}

/// Which settings file to read.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigFile {
    /// The settings file; without it ./switchboard.toml is read if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Program {
    /// Runs the command to its end. What went wrong is said on stderr, with what to do about it.
    ///
    /// The exit code is 0 for success, 1 if the command failed at what it was asked to do, and 2 if
    /// the arguments or the settings are wrong.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.command.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                // Nothing is left to be done if stderr is closed.
                let _ = write!(io::stderr(), "{failure}");
                failure.exit_code()
            }
        }
    }
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        let environment = Environment::of_process();
        match self {
            Self::Init(init) => init.run(),
            Self::Serve(serve) => block_on(serve.run(&environment)),
            Self::Demo(demo) => block_on(demo.run(&environment)),
            Self::Token(token) => token.run(&environment),
            Self::Publish(publish) => block_on(publish.run(&environment)),
            Self::Producer(producer) => block_on(producer.run(&environment)),
            Self::Compare(compare) => block_on(compare.run()),
            Self::Listen(listen) => block_on(listen.run()),
            Self::Journal(journal) => block_on(journal.run(&environment)),
            Self::Outbox(outbox) => block_on(outbox.run(&environment)),
            Self::Config(config) => config.run(&environment),
        }
    }
}

impl ConfigFile {
    pub(crate) fn load(&self, environment: &Environment) -> Result<Settings, Failure> {
        self.read(environment).map_err(|error| {
            let advice = self.advice(&error);
            Failure::refused(error).advise(advice)
        })
    }

    /// The same for whoever says in other words what is wrong.
    pub(crate) fn read(&self, environment: &Environment) -> Result<Settings, LoadError> {
        Settings::load(self.config.as_deref(), environment)
    }

    /// A file that is there is mended: writing it anew would lose its secrets.
    fn advice(&self, error: &LoadError) -> String {
        let option = self.option();
        match error {
            LoadError::Unreadable { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                format!("`switchboard init{option}` writes it")
            }
            LoadError::Unreadable { .. } => {
                "let the file be readable for who runs this, and only for them".to_owned()
            }
            LoadError::Refused(error)
                if !self.is_there() && error.written() != WrittenIn::Environment =>
            {
                "`switchboard init` writes ./switchboard.toml with fresh secrets".to_owned()
            }
            LoadError::Refused(error) => {
                let what = match error.written() {
                    WrittenIn::File => "the line",
                    WrittenIn::Environment => "the variable",
                    WrittenIn::Both => "the line and the variable",
                };
                format!("mend {what}; `switchboard config check{option}` checks again")
            }
        }
    }

    /// Whether there is a file to read.
    fn is_there(&self) -> bool {
        let path = self.config.as_deref();
        path.unwrap_or_else(|| Path::new(FILE_DEFAULT)).exists()
    }

    /// How another command is told to read the same file.
    fn option(&self) -> String {
        let option = |path: &PathBuf| format!(" --config {}", quoted(&path.display().to_string()));
        self.config.as_ref().map(option).unwrap_or_default()
    }
}

/// Says one line on stdout. That nobody listens any more, as behind `| head`, is no failure.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says on stderr what is worth a look, and no failure.
pub(crate) fn warn(line: impl std::fmt::Display) {
    // Nothing is left to be done if stderr is closed.
    let _ = writeln!(io::stderr(), "warning: {line}");
}

/// This program, as a shell finds it again.
pub(crate) fn program() -> io::Result<String> {
    let path = std::env::current_exe()?;
    Ok(quoted(&path.display().to_string()))
}

/// As a shell takes it for one word.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,=".contains(&byte);
    if word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

const AFTER_HELP: &str = "\
Try it:
  switchboard demo

For real:
  switchboard init      # writes switchboard.toml with fresh secrets
  switchboard serve";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Program::command().debug_assert();
    }

    #[test]
    fn only_a_file_that_is_not_there_is_to_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("switchboard.toml");
        let config = ConfigFile {
            config: Some(path.clone()),
        };
        let said = || {
            let failure = config.load(&Environment::default()).unwrap_err();
            failure.to_string()
        };

        assert!(said().contains("switchboard init --config"), "{}", said());
        std::fs::write(&path, "[server]\nprot = 1\n").unwrap();
        assert!(!said().contains("init"), "{}", said());
        assert!(
            said().contains("mend the line; `switchboard config check --config"),
            "{}",
            said()
        );
    }

    #[test]
    fn what_a_variable_says_is_no_line_to_mend() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("switchboard.toml");
        let secret = "[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n";
        let environment: Environment = [("SWITCHBOARD_SERVER__PORT", "x")].into_iter().collect();
        let said = |text: String| {
            std::fs::write(&path, text).unwrap();
            let config = Some(path.clone());
            let failure = ConfigFile { config }.load(&environment).unwrap_err();
            failure.to_string()
        };

        let variable = said(secret.to_owned());
        let both = said(format!("{secret}[engine]\nprot = 1\n"));

        assert!(variable.contains("mend the variable;"), "{variable}");
        assert!(both.contains("mend the line and the variable;"), "{both}");
    }

    #[test]
    fn a_path_with_a_space_is_quoted() {
        assert_eq!(quoted("/usr/bin/switchboard"), "/usr/bin/switchboard");
        assert_eq!(quoted("/my files/it's"), r"'/my files/it'\''s'");
    }

    #[test]
    fn every_command_shows_an_example() {
        let program = Program::command();

        let leaves = program.get_subcommands().flat_map(|command| {
            let below: Vec<_> = command.get_subcommands().collect();
            if below.is_empty() {
                vec![command]
            } else {
                below
            }
        });
        for command in leaves {
            let help = command.clone().render_long_help().to_string();

            assert!(help.contains("Example"), "{help}");
        }
    }
}
