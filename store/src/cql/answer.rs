//! Answers to conditional writes.
//!
//! Their shape is not the same everywhere: Cassandra gives `[applied]` alone if it was applied, and the row, or the columns
//! of the condition, if not; ScyllaDB always gives the whole row. So they are read by the names of their columns.

use scylla::response::query_result::QueryResult;
use scylla::value::{CqlValue, Row};

use super::error::CqlError;

/// The first column of every such answer.
const APPLIED: &str = "[applied]";

/// The row that kept a conditional write from being applied, or what is told of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Present {
    columns: Vec<(String, Option<CqlValue>)>,
}

/// `None` if a conditional write was applied.
pub(crate) fn applied(answer: QueryResult) -> Result<Option<Present>, CqlError> {
    let malformed = |error: &dyn std::fmt::Display| CqlError::malformed("the answer to a conditional write", error);
    let rows = answer.into_rows_result().map_err(|error| malformed(&error))?;
    let names: Vec<String> = rows.column_specs().iter().map(|column| column.name().to_owned()).collect();
    let row = rows.first_row::<Row>().map_err(|error| malformed(&error))?;
    of_columns(names.into_iter().zip(row.columns).collect())
}

fn of_columns(mut columns: Vec<(String, Option<CqlValue>)>) -> Result<Option<Present>, CqlError> {
    match columns.first() {
        Some((name, Some(CqlValue::Boolean(true)))) if name == APPLIED => Ok(None),
        Some((name, Some(CqlValue::Boolean(false)))) if name == APPLIED => {
            columns.remove(0);
            Ok(Some(Present { columns }))
        }
        first => {
            Err(CqlError::malformed("the answer to a conditional write", &format_args!("it begins with {first:?}")))
        }
    }
}

impl Present {
    fn column(&self, name: &str) -> Result<&CqlValue, CqlError> {
        let found = self.columns.iter().find(|(column, _)| column == name).and_then(|(_, value)| value.as_ref());
        found.ok_or_else(|| CqlError::malformed(name, &"it is not there"))
    }

    /// A column of text.
    pub(crate) fn text(&self, name: &str) -> Result<String, CqlError> {
        let value = self.column(name)?;
        value.as_text().cloned().ok_or_else(|| CqlError::malformed(name, &"it is no text"))
    }

    /// A column of bytes.
    pub(crate) fn blob(&self, name: &str) -> Result<Vec<u8>, CqlError> {
        let value = self.column(name)?;
        value.as_blob().cloned().ok_or_else(|| CqlError::malformed(name, &"it is no blob"))
    }

    /// A column of 32 bits.
    pub(crate) fn int(&self, name: &str) -> Result<i32, CqlError> {
        let value = self.column(name)?;
        value.as_int().ok_or_else(|| CqlError::malformed(name, &"it is no int"))
    }

    /// A column of 64 bits.
    pub(crate) fn bigint(&self, name: &str) -> Result<i64, CqlError> {
        let value = self.column(name)?;
        value.as_bigint().ok_or_else(|| CqlError::malformed(name, &"it is no bigint"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(applied: bool, rest: &[(&str, Option<CqlValue>)]) -> Vec<(String, Option<CqlValue>)> {
        let first = (APPLIED, Some(CqlValue::Boolean(applied)));
        [first].iter().chain(rest).map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn answers_are_read_by_name_whatever_their_shape() {
        let text = |text: &str| Some(CqlValue::Text(text.to_owned()));
        // Cassandra's, applied, and ScyllaDB's.
        assert_eq!(of_columns(columns(true, &[])), Ok(None));
        assert_eq!(of_columns(columns(true, &[("digest", None), ("claimed_by", None)])), Ok(None));
        for order in [["digest", "claimed_by"], ["claimed_by", "digest"]] {
            let rest = order.map(|name| (name, text(name)));
            let present = of_columns(columns(false, &rest)).expect("read").expect("not applied");
            assert_eq!(present.text("claimed_by").as_deref(), Ok("claimed_by"));
            assert!(present.int("claimed_by").is_err() && present.text("event_id").is_err());
        }
        assert!(of_columns(Vec::new()).is_err());
        assert!(of_columns(vec![("applied".to_owned(), Some(CqlValue::Boolean(true)))]).is_err());
        assert!(of_columns(vec![(APPLIED.to_owned(), None)]).is_err());
    }
}
