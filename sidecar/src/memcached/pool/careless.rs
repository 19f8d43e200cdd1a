//! `Broken::ReusedConnection`: a guard puts the connection back, whatever became of its request, and nobody looks whether it is quiet.

use tokio::time::timeout;

use super::{Answers, Command, Connection, Incarnation, NodeError, Pool};

struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.put_back(connection);
        }
    }
}

impl Pool {
    pub(super) async fn run_carelessly(
        &self,
        batch: &[Command],
        only: Option<Incarnation>,
    ) -> Result<Answers, NodeError> {
        let exchange = async {
            let connection = match self.pop() {
                Some(connection) => connection,
                None => self.dial().await?,
            };
            let incarnation = connection.incarnation;
            let mut lent = Lent { pool: self, connection: Some(connection) };
            if only.is_some_and(|only| only != incarnation) {
                return Err(NodeError::Reborn);
            }
            let Some(connection) = lent.connection.as_mut() else { return Err(NodeError::Down) };
            let result = connection.run(batch).await;
            if matches!(result, Err(NodeError::Unreachable(_))) {
                // Closed: it could not even confuse anybody.
                lent.connection = None;
                self.idle().clear();
            }
            Ok(Answers { replies: result?, incarnation })
        };
        timeout(self.timeout, exchange).await.unwrap_or(Err(NodeError::Timeout))
    }
}
