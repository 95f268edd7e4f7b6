//! The steps to the schema of each backend: `migrations/<backend>/<version>_<what it is for>.sql`, a part of the program.
//!
//! The driver runs them, and keeps which have been run and their checksums. They are made here and not by its macro, which
//! would have both backends compiled a second time, for the compiler.

use std::sync::LazyLock;

use include_dir::{Dir, File, include_dir};
use sqlx::{
    SqlStr,
    migrate::{Migration, MigrationType, Migrator},
};

static SQLITE_FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite");
static POSTGRES_FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres");

pub(super) static SQLITE: LazyLock<Migrator> = LazyLock::new(|| migrator(&SQLITE_FILES));
pub(super) static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| migrator(&POSTGRES_FILES));

fn migrator(files: &'static Dir<'static>) -> Migrator {
    Migrator::with_migrations(files.files().filter_map(migration).collect())
}

/// `None` when the file is not named as a step is.
fn migration(file: &'static File<'static>) -> Option<Migration> {
    let (version, what) = file.path().file_name()?.to_str()?.strip_suffix(".sql")?.split_once('_')?;
    let sql = SqlStr::from_static(file.contents_utf8()?);
    Some(Migration::new(version.parse().ok()?, what.replace('_', " ").into(), MigrationType::Simple, sql, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_step_and_no_two_have_a_version() {
        for (files, migrator) in [(&SQLITE_FILES, &*SQLITE), (&POSTGRES_FILES, &*POSTGRES)] {
            let versions: Vec<i64> = migrator.iter().map(|migration| migration.version).collect();
            assert!(versions.len() == files.files().count() && versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        }
    }

    /// Stores that were made by earlier builds have these; with others they would not be opened.
    #[test]
    fn a_step_is_known_again_by_its_checksum() {
        let first = SQLITE.iter().next().expect("a first step");
        assert_eq!((first.version, &*first.description), (1, "store"));
        let sha = ring::digest::digest(&ring::digest::SHA384, include_bytes!("../../migrations/sqlite/0001_store.sql"));
        assert_eq!(&*first.checksum, sha.as_ref());
    }
}
