//! A store that fails, for real: a trigger put into the SQLite file by a second connection refuses rows of one table,
//! until it is taken out again. The host meets what it would meet with a full disk: an error at every write.

use hookbox::settings::Settings;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// A table that takes no new rows.
pub struct StoreFault {
    connection: SqliteConnection,
}

impl StoreFault {
    /// From now on the store of these settings takes no attempts.
    pub async fn refuse_attempts(settings: &Settings) -> StoreFault {
        StoreFault::put_in(settings, "INSERT ON attempts").await
    }

    /// From now on no stored firing can be claimed, changed or removed.
    pub async fn refuse_claims(settings: &Settings) -> StoreFault {
        StoreFault::put_in(settings, "UPDATE ON firings").await
    }

    /// From now on no dead letter can be kept.
    pub async fn refuse_dead_letters(settings: &Settings) -> StoreFault {
        StoreFault::put_in(settings, "INSERT ON dead_letters").await
    }

    async fn put_in(settings: &Settings, what: &str) -> StoreFault {
        let connection = SqliteConnection::connect(&settings.store.url).await;
        let mut fault = StoreFault { connection: connection.unwrap_or_else(|error| panic!("{error}")) };
        let trigger = "BEGIN SELECT RAISE(ABORT, 'a fault put in by a test'); END";
        fault.execute(&format!("CREATE TRIGGER fault BEFORE {what} {trigger}")).await;
        fault
    }

    /// Takes the fault out.
    pub async fn mend(mut self) {
        self.execute("DROP TRIGGER fault").await;
    }

    async fn execute(&mut self, statement: &str) {
        let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut self.connection).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}
