//! The folder in which `hookbox module` keeps what takes long to make: the languages' tools, and compiled code.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;

/// Where that folder is.
#[derive(Clone, Debug, Args)]
pub(super) struct Kept {
    /// Where tools and compiled code are kept; may be deleted at any time [default: hookbox in the user's cache folder].
    #[arg(long = "cache", env = "HOOKBOX_CLI_CACHE", value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Held while a tool is installed, so that two calls at once do not install into one folder.
pub(super) struct Locked(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl Kept {
    /// The folder of one tool.
    pub(super) fn tool(&self, name: &str) -> Result<PathBuf, String> {
        Ok(self.root()?.join("tools").join(name))
    }

    /// Where compiled code is kept, and the key under which it is authenticated.
    pub(super) fn compiled(&self) -> Result<(PathBuf, [u8; 32]), String> {
        let folder = self.root()?.join("compiled");
        make(&folder)?;
        let file = folder.join("key");
        let _locked = lock(&folder)?;
        let key = load_or_make_key(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok((folder, key))
    }

    fn root(&self) -> Result<PathBuf, String> {
        let of_user = || {
            let cache = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
            let home =
                || env::var_os("HOME").filter(|path| !path.is_empty()).map(|home| Path::new(&home).join(".cache"));
            Some(cache.or_else(home)?.join("hookbox"))
        };
        let root = self.folder.clone().or_else(of_user);
        let root = root.ok_or("there is no home folder to keep tools in; name a folder with --cache")?;
        make(&root)?;
        root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))
    }
}

/// Waits until nobody else works in the folder.
pub(super) fn lock(folder: &Path) -> Result<Locked, String> {
    let path = folder.with_extension("lock");
    let locked = File::create(&path).and_then(|file| file.lock().map(|()| file));
    locked.map(Locked).map_err(|error| format!("{}: {error}", path.display()))
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder)
        .map_err(|error| format!("{}: {error}; name another folder with --cache", folder.display()))
}

fn load_or_make_key(file: &Path) -> std::io::Result<[u8; 32]> {
    let mut key = [0; 32];
    match File::open(file) {
        Ok(mut there) => there.read_exact(&mut key)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            key = rand::random();
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(&key)?;
        }
        Err(error) => return Err(error),
    }
    Ok(key)
}
