//! The host's key, and what is encrypted and signed under it: hook secrets and compiled modules.
//!
//! The key is a file beside the store, never in it: a copy of the database alone tells no secret. Nodes that share a
//! store share the file. Each use gets a key of its own, [`HostKey::derive`].

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use thiserror::Error;

use crate::{hook::SealedSecret, message::HookId};

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a secret that is made here.
const SECRET_BYTES: usize = 32;

/// The key file cannot be used, or a secret cannot be read. The operator's fault.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{}: the host's key cannot be read; let this user read it, or name another file in store.key_file", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("{}: the host's key cannot be made; make its folder and let this user write there, or name another file in store.key_file", path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in the file is no key.
    #[error(
        "{}: the host's key has to be 64 hex digits; restore the file from a copy (without it, hook secrets are lost)",
        .0.display()
    )]
    Malformed(PathBuf),
    /// Everybody may read the file.
    #[error("{}: everybody can read the host's key (mode {mode:04o}); run `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A secret was encrypted under another key, or for another hook, or was damaged.
    #[error(
        "the secret of hook {0} cannot be decrypted; start with the store.key_file that it was made under, or rotate it"
    )]
    Sealed(HookId),
}

/// The host's key. Shows itself to nobody.
#[derive(Clone)]
pub struct HostKey([u8; KEY_BYTES]);

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKey(hidden)")
    }
}

impl HostKey {
    /// The key in the file, which is made when it is not there.
    pub fn load_or_make(path: &Path) -> Result<Self, SecretError> {
        match Self::load(path) {
            Err(SecretError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let unwritable = |source| SecretError::Unwritable { path: path.to_owned(), source };
                make_file(path, &rand::random()).map_err(unwritable)?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// The key in the file.
    pub fn load(path: &Path) -> Result<Self, SecretError> {
        let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
        let bytes = fs::read(path).map_err(unreadable)?;
        let mode = fs::metadata(path).map_err(unreadable)?.mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(SecretError::Exposed { path: path.to_owned(), mode });
        }
        let mut key = [0; KEY_BYTES];
        match hex::decode_to_slice(bytes.trim_ascii(), &mut key) {
            Ok(()) => Ok(Self(key)),
            Err(_) => Err(SecretError::Malformed(path.to_owned())),
        }
    }

    /// A key of these bytes, for tests and for stores that do not last.
    pub fn from_bytes(key: [u8; KEY_BYTES]) -> Self {
        Self(key)
    }

    /// A key for one use: HMAC-SHA256 of the use's name.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), label.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(tag.as_ref());
        key
    }

    /// Encrypts a hook's secret. It can be read for that hook alone, so it cannot be moved to another.
    pub fn seal(&self, hook: &HookId, secret: &[u8]) -> Result<SealedSecret, SecretError> {
        let failed = |_| SecretError::Sealed(hook.clone());
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = secret.to_vec();
        self.secret_key(hook)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(hook), &mut sealed)
            .map_err(failed)?;
        sealed.splice(0..0, nonce);
        Ok(SealedSecret { sealed: STANDARD.encode(sealed), until_ms: None })
    }

    /// Decrypts a hook's secret.
    pub fn open(&self, hook: &HookId, secret: &SealedSecret) -> Result<Vec<u8>, SecretError> {
        let failed = || SecretError::Sealed(hook.clone());
        let bytes = STANDARD.decode(&secret.sealed).map_err(|_| failed())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or_else(failed)?;
        let mut sealed = sealed.to_vec();
        let opened = self
            .secret_key(hook)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad(hook), &mut sealed)
            .map_err(|_| failed())?
            .len();
        sealed.truncate(opened);
        Ok(sealed)
    }

    fn secret_key(&self, hook: &HookId) -> Result<LessSafeKey, SecretError> {
        let key = UnboundKey::new(&AES_256_GCM, &self.derive("hook secrets"));
        key.map(LessSafeKey::new).map_err(|_| SecretError::Sealed(hook.clone()))
    }
}

/// What a hook's requests are signed with when its owner has not set anything: 32 random bytes.
pub fn new_secret() -> [u8; SECRET_BYTES] {
    rand::random()
}

fn aad(hook: &HookId) -> Aad<&[u8]> {
    Aad::from(hook.as_str().as_bytes())
}

/// Writes a key where there is none. The file appears whole or not at all, and of two processes that start at once the
/// second finds the first one's.
fn make_file(path: &Path, key: &[u8; KEY_BYTES]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}", rand::random::<u64>()));
    let draft = path.with_file_name(name);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            writeln!(file, "{}", hex::encode(key))?;
            file.sync_all()
        })
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    // A draft that stays does no harm; what went wrong before it does.
    let _ = fs::remove_file(&draft);
    written?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
    }

    #[test]
    fn the_file_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hookbox.key");
        let made = HostKey::load_or_make(&path).expect("it is made");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o600);
        let found = HostKey::load_or_make(&path).expect("it is found");
        assert_eq!(made.0, found.0);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no draft stays behind");
    }

    #[test]
    fn bad_files_are_refused_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hookbox.key");
        fs::write(&path, "abcd").expect("it can be written");
        set_mode(&path, 0o600);
        let problem = HostKey::load_or_make(&path).expect_err("it is too short").to_string();
        assert!(problem.contains("64 hex digits"), "{problem}");
        fs::write(&path, "ab".repeat(32)).expect("it can be written");
        set_mode(&path, 0o644);
        let problem = HostKey::load_or_make(&path).expect_err("everybody reads it").to_string();
        assert!(problem.contains("0644") && problem.contains("chmod 600"), "{problem}");
        let nowhere = folder.path().join("missing").join("hookbox.key");
        let problem = HostKey::load_or_make(&nowhere).expect_err("there is no folder").to_string();
        assert!(problem.contains("store.key_file"), "{problem}");
    }

    #[test]
    fn a_secret_opens_under_its_key_for_its_hook() {
        let key = HostKey::from_bytes([7; 32]);
        let hook = HookId::from("h1");
        let sealed = key.seal(&hook, b"secret").expect("it seals");
        assert_ne!(sealed, key.seal(&hook, b"secret").expect("it seals"), "the nonce is new each time");
        assert_eq!(key.open(&hook, &sealed).expect("it opens"), b"secret");
        assert!(key.open(&HookId::from("h2"), &sealed).is_err());
        assert!(HostKey::from_bytes([8; 32]).open(&hook, &sealed).is_err());
        assert!(key.open(&hook, &SealedSecret { sealed: "AAAA".into(), until_ms: None }).is_err());
    }

    #[test]
    fn uses_have_keys_of_their_own_and_none_is_shown() {
        let key = HostKey::from_bytes([7; 32]);
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_eq!(format!("{key:?}"), "HostKey(hidden)");
    }
}
