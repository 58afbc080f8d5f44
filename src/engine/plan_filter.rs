//! A filter over the attributes of resources: what a plan leaves to the caller's database.
//!
//! There is no negation, and each test but [`Test::Absent`] is true only of rows in which all its
//! attributes have a value. So a NULL selects nothing, in SQL as here. Text is compared byte by byte.

use serde_json::{Value as Json, json};

/// Which resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Always,
    Never,
    /// Two or more.
    All(Vec<Filter>),
    /// Two or more.
    Any(Vec<Filter>),
    Test(Test),
}

/// A test of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Present(Column),
    Absent(Column),
    Compare(Column, Comparison, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// The same with the operands exchanged.
    pub(super) const fn flipped(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    /// True where this is false.
    pub(super) const fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Equal => "eq",
            Self::NotEqual => "ne",
            Self::Less => "lt",
            Self::LessOrEqual => "le",
            Self::Greater => "gt",
            Self::GreaterOrEqual => "ge",
        }
    }

    const fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Value(Scalar),
    Column(Column),
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Bool(bool),
    Long(i64),
    /// Text, or the id of an entity.
    Text(String),
}

impl Scalar {
    fn json(&self) -> Json {
        match self {
            Self::Bool(flag) => Json::from(*flag),
            Self::Long(number) => Json::from(*number),
            Self::Text(text) => Json::from(text.as_str()),
        }
    }
}

/// How an attribute is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    Bool,
    Long,
    Text,
    /// Anything else: only whether it has a value is tested.
    Other,
}

/// An attribute of the resource, or its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnType,
    /// Its value where a row has none: the account of resources without one.
    pub(super) otherwise: Option<String>,
}

/// A condition of SQL, with what its `$1`, `$2` and so on stand for.
#[derive(Debug, Default)]
pub(super) struct SqlCondition {
    pub(super) text: String,
    pub(super) parameters: Vec<Json>,
}

impl Filter {
    pub(super) const fn of(flag: bool) -> Self {
        if flag { Self::Always } else { Self::Never }
    }

    pub(super) const fn compare(column: Column, how: Comparison, with: Operand) -> Self {
        Self::Test(Test::Compare(column, how, with))
    }

    /// Rows in which an attribute has a value.
    pub(super) fn present(column: Column) -> Self {
        if column.otherwise.is_some() { Self::Always } else { Self::Test(Test::Present(column)) }
    }

    /// Rows in which an attribute has none.
    pub(super) fn absent(column: Column) -> Self {
        if column.otherwise.is_some() { Self::Never } else { Self::Test(Test::Absent(column)) }
    }

    pub(super) fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut kept: Vec<Self> = Vec::new();
        for filter in filters {
            match filter {
                Self::Always => {}
                Self::Never => return Self::Never,
                Self::All(inner) => inner.into_iter().for_each(|one| add(&mut kept, one)),
                other => add(&mut kept, other),
            }
        }
        match kept.pop() {
            None => Self::Always,
            Some(only) if kept.is_empty() => only,
            Some(last) => {
                kept.push(last);
                Self::All(kept)
            }
        }
    }

    pub(super) fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut kept: Vec<Self> = Vec::new();
        for filter in filters {
            match filter {
                Self::Never => {}
                Self::Always => return Self::Always,
                Self::Any(inner) => inner.into_iter().for_each(|one| add(&mut kept, one)),
                other => add(&mut kept, other),
            }
        }
        match kept.pop() {
            None => Self::Never,
            Some(only) if kept.is_empty() => only,
            Some(last) => {
                kept.push(last);
                Self::Any(kept)
            }
        }
    }

    /// How many tests and combinations it has.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Always | Self::Never | Self::Test(_) => 1,
            Self::All(filters) | Self::Any(filters) => {
                1 + filters.iter().map(Self::size).sum::<usize>()
            }
        }
    }

    /// The filter as JSON: `op` is `and`, `or`, `present`, `absent`, or a comparison of an `attribute` with
    /// a `value` or with the attribute `other`. `default` is the value of an attribute that has none.
    pub(super) fn json(&self) -> Json {
        let several = |op: &str, filters: &[Self]| json!({"op": op, "filters": filters.iter().map(Self::json).collect::<Vec<_>>()});
        match self {
            Self::Always => json!({"op": "and", "filters": []}),
            Self::Never => json!({"op": "or", "filters": []}),
            Self::All(filters) => several("and", filters),
            Self::Any(filters) => several("or", filters),
            Self::Test(Test::Present(column)) => {
                json!({"op": "present", "attribute": column.name})
            }
            Self::Test(Test::Absent(column)) => json!({"op": "absent", "attribute": column.name}),
            Self::Test(Test::Compare(column, how, with)) => {
                let mut test = json!({"op": how.word(), "attribute": column.name});
                let mut set = |name: &str, value: Json| {
                    if let Some(members) = test.as_object_mut() {
                        members.insert(name.to_owned(), value);
                    }
                };
                match with {
                    Operand::Value(value) => set("value", value.json()),
                    Operand::Column(other) => set("other", Json::from(other.name.as_str())),
                }
                let with_default = |with: &Operand| match with {
                    Operand::Column(other) => other.otherwise.clone(),
                    Operand::Value(_) => None,
                };
                if let Some(value) = column.otherwise.clone().or_else(|| with_default(with)) {
                    set("default", Json::from(value));
                }
                test
            }
        }
    }

    /// The filter as a condition of PostgreSQL. Columns have the names of the attributes; values are
    /// parameters.
    pub(super) fn sql(&self) -> SqlCondition {
        let mut sql = SqlCondition::default();
        self.write(&mut sql);
        sql
    }

    fn write(&self, sql: &mut SqlCondition) {
        match self {
            Self::Always => sql.text.push_str("TRUE"),
            Self::Never => sql.text.push_str("FALSE"),
            Self::All(filters) => write_several(filters, " AND ", sql),
            Self::Any(filters) => write_several(filters, " OR ", sql),
            Self::Test(Test::Present(column)) => {
                sql.text.push_str(&quoted(&column.name));
                sql.text.push_str(" IS NOT NULL");
            }
            Self::Test(Test::Absent(column)) => {
                sql.text.push_str(&quoted(&column.name));
                sql.text.push_str(" IS NULL");
            }
            Self::Test(Test::Compare(column, how, with)) => {
                column.write(sql);
                sql.text.push_str(&format!(" {} ", how.sql()));
                match with {
                    Operand::Value(value) => sql.parameter(value),
                    Operand::Column(other) => other.write(sql),
                }
            }
        }
    }
}

/// What is there already is not repeated.
fn add(kept: &mut Vec<Filter>, filter: Filter) {
    if !kept.contains(&filter) {
        kept.push(filter);
    }
}

fn write_several(filters: &[Filter], between: &str, sql: &mut SqlCondition) {
    sql.text.push('(');
    for (number, filter) in filters.iter().enumerate() {
        if number > 0 {
            sql.text.push_str(between);
        }
        filter.write(sql);
    }
    sql.text.push(')');
}

impl Column {
    fn write(&self, sql: &mut SqlCondition) {
        match &self.otherwise {
            None => sql.text.push_str(&quoted(&self.name)),
            Some(value) => {
                sql.text.push_str(&format!("coalesce({}, ", quoted(&self.name)));
                sql.parameter(&Scalar::Text(value.clone()));
                sql.text.push(')');
            }
        }
        if self.kind == ColumnType::Text {
            // Others may find two texts equal that differ.
            sql.text.push_str(" COLLATE \"C\"");
        }
    }
}

impl SqlCondition {
    fn parameter(&mut self, value: &Scalar) {
        self.parameters.push(value.json());
        let kind = match value {
            Scalar::Bool(_) => "boolean",
            Scalar::Long(_) => "bigint",
            Scalar::Text(_) => "text",
        };
        self.text.push_str(&format!("${}::{kind}", self.parameters.len()));
    }
}

/// An identifier of SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
