//! Changes to an environment as statements of a shell.

use std::path::Path;

use clap::ValueEnum;

use super::clients::Change;

/// A family of shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// sh, bash, zsh, ksh, dash.
    Sh,
    /// fish.
    Fish,
    /// PowerShell.
    Powershell,
}

impl Shell {
    /// The shell that the user works in, as far as `$SHELL` tells.
    pub(super) fn of_user(variable: Option<&str>) -> Self {
        match variable.map(Path::new).and_then(Path::file_name) {
            Some(name) if name == "fish" => Self::Fish,
            Some(name) if name == "pwsh" => Self::Powershell,
            None if cfg!(windows) => Self::Powershell,
            Some(_) | None => Self::Sh,
        }
    }

    /// A change as one statement on a line. The semicolon lets it stand where a shell has made one line of all
    /// (`eval $(keypool env)`, without quotes).
    pub(super) fn statement(self, change: &Change) -> String {
        match (self, change) {
            (Self::Sh, Change::Set(name, value)) => {
                format!("export {name}={};", self.quoted(value))
            }
            (Self::Sh, Change::Unset(name)) => format!("unset {name};"),
            (Self::Fish, Change::Set(name, value)) => {
                format!("set -gx {name} {};", self.quoted(value))
            }
            (Self::Fish, Change::Unset(name)) => format!("set -e {name};"),
            (Self::Powershell, Change::Set(name, value)) => {
                format!("$env:{name} = {};", self.quoted(value))
            }
            (Self::Powershell, Change::Unset(name)) => {
                format!("Remove-Item Env:{name} -ErrorAction SilentlyContinue;")
            }
        }
    }

    /// How its statements are taken into the shell that runs.
    pub(super) const fn usage(self) -> &'static str {
        match self {
            Self::Sh => "eval \"$(keypool env)\"",
            Self::Fish => "keypool env --shell fish | source",
            Self::Powershell => "keypool env --shell powershell | Out-String | Invoke-Expression",
        }
    }

    /// A text in single quotes, within which no shell expands anything.
    fn quoted(self, text: &str) -> String {
        let inner = match self {
            Self::Sh => text.replace('\'', r"'\''"),
            Self::Fish => text.replace('\\', r"\\").replace('\'', r"\'"),
            Self::Powershell => text.replace('\'', "''"),
        };
        format!("'{inner}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_each_shell_wants_it() {
        let change = Change::Set("NAME", r#"it's $HOME \ "x""#.to_owned());
        let statement = |shell: Shell| shell.statement(&change);
        assert_eq!(
            statement(Shell::Sh),
            r#"export NAME='it'\''s $HOME \ "x"';"#
        );
        assert_eq!(
            statement(Shell::Fish),
            r#"set -gx NAME 'it\'s $HOME \\ "x"';"#
        );
        assert_eq!(
            statement(Shell::Powershell),
            r#"$env:NAME = 'it''s $HOME \ "x"';"#
        );
    }

    #[test]
    fn the_users_shell_is_told_by_its_path() {
        assert_eq!(Shell::of_user(Some("/usr/bin/fish")), Shell::Fish);
        assert_eq!(Shell::of_user(Some("/bin/zsh")), Shell::Sh);
        assert_eq!(Shell::of_user(Some("/opt/bin/pwsh")), Shell::Powershell);
    }
}
