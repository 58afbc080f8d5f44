//! What the nodes of a fleet keep in PostgreSQL beside the log.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{PostgresLog, Unanswered, tables};
use crate::store::shared_log::{FleetLog, OBJECT_BYTES_MAX};

impl PostgresLog {
    /// Asks on the connection that large values use, too.
    fn ask(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, String> {
        self.runtime.block_on(async {
            let session = self.session(&self.bulk).await?;
            let asked = session.client().query(statement, parameters);
            self.answered(&session, asked).await.map_err(Unanswered::said)
        })
    }
}

fn column<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row) -> Result<T, String> {
    row.try_get(0).map_err(|fault| format!("an object of the log was altered by hand: {fault}"))
}

impl FleetLog for PostgresLog {
    fn wait_for_change(&self, at_most: Duration) {
        Self::wait_for_change(self, at_most);
    }

    fn trim(&self, through: u64) -> Result<(), String> {
        Self::trim(self, through).map(drop)
    }

    fn put_object(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() > OBJECT_BYTES_MAX {
            return Err(format!("an object has at most {OBJECT_BYTES_MAX} bytes"));
        }
        let statement = tables::put_object(&self.server.schema);
        let put = self.change(&statement, &[&name, &bytes, &self.log.0.as_slice()])?;
        if put == 1 { Ok(()) } else { Err("the log was replaced meanwhile".to_owned()) }
    }

    fn object(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let rows = self.ask(&tables::object(&self.server.schema), &[&name])?;
        rows.first().map(column).transpose()
    }

    fn object_names(&self, prefix: &str) -> Result<Vec<String>, String> {
        let rows = self.ask(&tables::object_names(&self.server.schema), &[&prefix])?;
        rows.iter().map(column).collect()
    }

    fn remove_object(&self, name: &str) -> Result<(), String> {
        let statement = tables::remove_object(&self.server.schema);
        self.change(&statement, &[&name, &self.log.0.as_slice()]).map(drop)
    }
}
