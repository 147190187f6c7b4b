//! Who may ask for metrics: whoever has what is in a file.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use constant_time_eq::constant_time_eq;
use data_encoding::BASE64;

use crate::format::Safe;

/// Longest file.
const LONGEST: u64 = 4096;

/// Why a file says nobody's token.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It cannot be read.
    #[error("reading {path}, the file of metrics-token-file: {error}", path = Safe::os(.path))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others may read it.
    #[error(
        "{path}, the file of metrics-token-file, can be read by every user: chmod o= {path}", path = Safe::os(.0)
    )]
    Open(PathBuf),
    /// There is something else in it.
    #[error(
        "{path}, the file of metrics-token-file, must have one line of visible ASCII: a token without a colon, or USER:PASSWORD",
        path = Safe::os(.0)
    )]
    Content(PathBuf),
}

/// What a request has to have. It is in no text.
#[derive(Clone)]
pub struct ScrapeAccess(Option<Secret>);

#[derive(Clone)]
struct Secret {
    scheme: &'static str,
    credentials: Box<[u8]>,
}

impl fmt::Debug for ScrapeAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScrapeAccess").field(&self.0.as_ref().map(|secret| secret.scheme)).finish()
    }
}

impl ScrapeAccess {
    /// Nothing.
    #[must_use]
    pub const fn everybody() -> Self {
        Self(None)
    }

    /// What a file says: a token (RFC 6750), or a user and a password (RFC 7617).
    ///
    /// # Errors
    /// When it cannot be read, others can read it too, or there is something else in it.
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        let failed = |error| AccessError::Read { path: path.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.mode() & 0o004 != 0 {
            return Err(AccessError::Open(path.to_owned()));
        }
        let mut text = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut text).map_err(failed)?;
        Self::of(&text).ok_or_else(|| AccessError::Content(path.to_owned()))
    }

    fn of(text: &[u8]) -> Option<Self> {
        let line = text.strip_suffix(b"\n").unwrap_or(text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_visible = line.iter().all(u8::is_ascii_graphic);
        if text.len() as u64 > LONGEST || line.is_empty() || !is_visible {
            return None;
        }
        let secret = if line.contains(&b':') {
            Secret { scheme: "Basic", credentials: BASE64.encode(line).into_bytes().into() }
        } else {
            Secret { scheme: "Bearer", credentials: line.into() }
        };
        Some(Self(Some(secret)))
    }

    /// Whether a request with this `Authorization` has it. How long that takes says nothing of what it has to be.
    #[must_use]
    pub fn allows(&self, authorization: Option<&[u8]>) -> bool {
        let Some(Secret { scheme, credentials }) = &self.0 else { return true };
        let Some(given) = authorization else { return false };
        let Some((given_scheme, given)) = given.split_at_checked(scheme.len()) else { return false };
        given_scheme.eq_ignore_ascii_case(scheme.as_bytes())
            && given.starts_with(b" ")
            && constant_time_eq(given.trim_ascii(), credentials)
    }

    /// What `WWW-Authenticate` asks for.
    #[must_use]
    pub fn challenge(&self) -> String {
        let scheme = self.0.as_ref().map_or("Bearer", |secret| secret.scheme);
        format!("{scheme} realm=\"flowtally\"")
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_token_is_asked_for_to_the_byte() {
        let access = ScrapeAccess::of(b"s3cret-Token\n").unwrap();
        for right in ["Bearer s3cret-Token", "bearer s3cret-Token", "BEARER  s3cret-Token "] {
            assert!(access.allows(Some(right.as_bytes())), "{right}");
        }
        for wrong in
            ["", "Bearer", "Bearer ", "Bearer s3cret-Toke", "Bearer s3cret-token", "Bearers3cret-Token"]
        {
            assert!(!access.allows(Some(wrong.as_bytes())), "{wrong}");
        }
        assert!(!access.allows(Some(b"Basic s3cret-Token")) && !access.allows(None));
        assert_eq!(access.challenge(), "Bearer realm=\"flowtally\"");
        assert!(!format!("{access:?}").contains("s3cret"));
        assert!(ScrapeAccess::everybody().allows(None));
    }

    #[test]
    fn a_user_and_a_password_are_asked_for() {
        // RFC 7617, section 2.
        let access = ScrapeAccess::of(b"Aladdin:open-sesame").unwrap();
        assert!(access.allows(Some(b"Basic QWxhZGRpbjpvcGVuLXNlc2FtZQ==")));
        assert!(!access.allows(Some(b"Basic QWxhZGRpbjpvcGVuLXNlc2FtZR==")));
        assert_eq!(access.challenge(), "Basic realm=\"flowtally\"");
    }

    #[test]
    fn a_file_that_says_nothing_clear_is_refused() {
        for text in [&b""[..], b"\n", b"a\nb", b"a b", b"\xff", b"a\0"] {
            assert!(ScrapeAccess::of(text).is_none(), "{text:?}");
        }
        assert!(ScrapeAccess::of(&[b'x'; 4097]).is_none());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(matches!(ScrapeAccess::read(&path), Err(AccessError::Read { .. })));
        fs::write(&path, "s3cret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = ScrapeAccess::read(&path).unwrap_err();
        assert!(matches!(error, AccessError::Open(_)) && error.to_string().contains("chmod o= "), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(ScrapeAccess::read(&path).unwrap().allows(Some(b"Bearer s3cret")));
    }
}
